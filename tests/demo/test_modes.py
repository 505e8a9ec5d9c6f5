"""Optimizers that have a mode to train in, and one that needs a Hessian."""

import numpy as np
import pytest

import gpuopt
from gpuopt.demo import mlp, modes, training
from gpuopt.demo.comparison import Settings, Trial, run
from gpuopt.demo.methods import METHODS
from gpuopt.demo.modes import HESSIAN_EVERY, drawn_labels
from gpuopt.rules.definitions import DEFINITIONS

AVERAGED = [name for name, definition in DEFINITIONS.items() if "train" in definition.passes]


@pytest.fixture
def notes(monkeypatch):
    """What a class is asked for, in order, with what it is given."""

    def watch(cls, *names):
        found = []

        def noted(name, method):
            def call(self, *arguments):
                found.append((name, self, *arguments))
                return method(self, *arguments)

            return call

        for name in names:
            monkeypatch.setattr(cls, name, noted(name, getattr(cls, name)))
        return found

    return watch


@pytest.mark.parametrize("name", AVERAGED)
def test_what_averages_is_trained_in_one_mode_and_measured_in_the_other(
    name, notes, few_digits, monkeypatch
):
    cls, measured = getattr(gpuopt, name), []
    asked = notes(cls, "train", "step", "eval")
    measure = training.measure

    def noted(*arguments):
        asked.append(("measure", asked[-1][1]))  # by the optimizer that was asked last
        measured.append(asked[-1][1])
        return measure(*arguments)

    monkeypatch.setattr(training, "measure", noted)
    epochs = run(Trial(METHODS[name.lower()]), few_digits, Settings(epochs=2)).epochs
    own = [what for what, optimizer, *_ in asked if optimizer is measured[-1]]
    assert own == ["train", *["step"] * 4, "eval", "measure"] * 2
    assert epochs[2].train_loss != epochs[1].train_loss


def test_sophia_gets_a_hessian_every_ten_steps_from_the_first_on(notes, few_digits):
    asked = notes(gpuopt.SophiaG, "step", "update_hessian")
    settings = Settings(epochs=6, batch_size=30)  # steps with 30, 30, 30 and 10 images
    run(Trial(METHODS["sophiag"]), few_digits, settings)
    warm_up, *names = [name for name, *_ in asked]
    assert warm_up == "step"
    assert names[:12] == ["update_hessian", *["step"] * HESSIAN_EVERY, "update_hessian"]
    assert names.count("update_hessian") == 3
    assert asked[-1][1].bs == 30


def test_the_hessian_is_of_drawn_labels_and_leaves_the_order_of_the_images(notes, few_digits):
    def gradients(name, cls):
        asked = notes(cls, "step")
        run(Trial(METHODS[name], lr=1e-9), few_digits, Settings(epochs=1))
        return [grads[0] for _, _, grads in asked[1:]]

    hessians = notes(gpuopt.SophiaG, "update_hessian")
    found, expected = gradients("sophiag", gpuopt.SophiaG), gradients("minibatch", gpuopt.SGD)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    ((_, _, grads),) = hessians
    assert (grads[0] != found[0]).any()


def test_the_gradients_of_a_hessian_are_of_the_drawn_labels(few_digits, monkeypatch):
    labels = np.arange(32) % 10
    monkeypatch.setattr(modes, "drawn_labels", lambda logits, rng: labels)
    params = mlp.initialise((64, 8, 10), 0)
    optimizer = gpuopt.SophiaG(params, betas=(0.5, 0.0))
    values = mlp.forward(params, few_digits.train.images[:32])
    modes.HessianEstimate(optimizer, 0).before_step(params, values)
    for i, grad in enumerate(mlp.backward(params, values, labels)):
        assert (optimizer.state[i]["hessian"] == grad * grad).all()


def test_labels_are_drawn_by_their_probabilities():
    chances = np.array([0.5, 0.3, 0.2])
    logits = np.broadcast_to(np.log(chances).astype(np.float32), (20_000, 3))
    labels = drawn_labels(logits, np.random.default_rng(0))
    assert abs(np.bincount(labels) / len(labels) - chances).max() < 0.01


def test_the_expected_square_of_the_gradients_is_the_gauss_newton_matrix(few_digits):
    """Of a linear layer: the sum over images of p (1 - p) for each bias."""
    params, images = mlp.initialise((64, 10), 0), few_digits.train.images
    values = mlp.forward(params, images)
    rng = np.random.default_rng(0)
    squares = [
        np.square(len(images) * mlp.backward(params, values, drawn_labels(values[-1], rng))[1])
        for _ in range(2000)
    ]
    chances = np.exp(mlp.log_softmax(values[-1]))
    np.testing.assert_allclose(np.mean(squares, 0), (chances * (1 - chances)).sum(0), rtol=0.15)
