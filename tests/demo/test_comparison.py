from dataclasses import replace
from math import inf, nan

import pytest

import gpuopt
from gpuopt.demo import mlp
from gpuopt.demo.comparison import Observer, Result, Settings, Trial, run, run_all
from gpuopt.demo.methods import DEFAULT, METHODS
from gpuopt.demo.training import LOSS_OF_GUESSING, Epoch, StepClock, measure
from tests.helpers.backends import on_cpu

SETTINGS = Settings(epochs=3)
ADAM = Trial(METHODS["adam"])


def result(*losses, accuracies=None):
    """A result that went like this."""
    accuracies = accuracies or [0.1] * len(losses)
    epochs = tuple(
        Epoch(n, loss, loss, accuracy, accuracy, (1.0,))
        for n, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    )
    return Result(ADAM, 32, "none", epochs, (), StepClock())


@pytest.mark.parametrize("method", DEFAULT, ids=lambda method: method.name)
def test_the_same_seed_gives_the_same_numbers_on_every_backend(few_digits, method):
    expected = run(Trial(method), few_digits, SETTINGS).epochs
    assert run(Trial(method), few_digits, SETTINGS).epochs == expected
    for parameter in on_cpu(reference=False):
        if not parameter.marks:
            with gpuopt.use_backend(parameter.values[0]):
                found = run(Trial(method), few_digits, SETTINGS)
            assert found.epochs == expected
            assert found.backend == parameter.values[0]


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_all_methods_start_from_the_same_network(few_digits, method):
    params = mlp.initialise(SETTINGS.sizes(few_digits), SETTINGS.seed)
    untrained = measure(0, params, few_digits)
    assert run(Trial(method), few_digits, replace(SETTINGS, epochs=1)).epochs[0] == untrained


def test_the_seed_decides_the_first_weights_and_the_order_of_the_images(few_digits, monkeypatch):
    def epochs(seed):
        return run(ADAM, few_digits, Settings(epochs=1, seed=seed)).epochs

    assert epochs(0)[0] != epochs(1)[0]
    weights = mlp.initialise(SETTINGS.sizes(few_digits), 0)
    monkeypatch.setattr(mlp, "initialise", lambda *_: [w.copy() for w in weights])
    assert epochs(0)[0] == epochs(1)[0]
    assert epochs(0)[1] != epochs(1)[1]


def test_the_gain_is_that_of_the_first_weights(few_digits):
    start = run(ADAM, few_digits, Settings(epochs=1, gain=2.0)).epochs[0]
    params = mlp.initialise(SETTINGS.sizes(few_digits), 0, gain=2.0)
    assert start == measure(0, params, few_digits)


def test_each_gradient_stands_for_the_methods_number_of_images(results, few_digits):
    batch_sizes = [result.batch_size for result in results]
    assert batch_sizes == [len(few_digits.train), 1, 32, 32, 32, 32]
    steps_in_an_epoch = [1, 100, 4, 4, 4, 4]
    assert [len(result.clock.seconds) for result in results] == [4 * n for n in steps_in_an_epoch]


def test_the_trials_learning_rate_and_beta_are_used(few_digits):
    momentum = METHODS["momentum"]

    def final(**options):
        return run(Trial(momentum, **options), few_digits, SETTINGS).final.train_loss

    assert final() == final(lr=momentum.lr) == final(beta=0.9)
    assert len({final(), final(lr=0.01), final(beta=0.5)}) == 3


def test_a_few_epochs_teach_real_digits(digits):
    learned = run(ADAM, digits, SETTINGS)
    assert learned.final.test_accuracy > 0.9
    assert learned.final.train_loss < 0.2 < learned.epochs[0].train_loss
    assert not learned.diverged


def test_no_step_is_timed_before_the_backend_has_warmed_up(few_digits, monkeypatch):
    steps = []
    step = gpuopt.SGD.step
    monkeypatch.setattr(gpuopt.SGD, "step", lambda self, g: (steps.append(self), step(self, g)))
    found = run(Trial(METHODS["batch"]), few_digits, SETTINGS)
    assert len(steps) == len(found.clock.seconds) + 1
    assert steps[0] is not steps[1]


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ((2.5, 1.0, 0.1), False),
        ((2.5, 2.49, 2.48), False),  # slow
        ((2.5, 2.5 + 1e-7, 2.5), False),  # standing still
        ((2.5, 9.0, 2.0), False),  # back from an excursion
        ((2.5, 1.0, LOSS_OF_GUESSING + 0.01), True),
        ((2.5, 9.0, 2.4), True),  # below its start, but no better than guessing
        ((2.5, nan), True),
        ((2.5, inf), True),
    ],
)
def test_what_counts_as_diverged(losses, diverged):
    assert result(*losses).diverged is diverged


def test_a_gradient_that_is_not_finite_has_diverged_too():
    found = result(2.5, 1.0)
    last = replace(found.final, gradient_norms=(nan,))
    assert replace(found, epochs=(found.epochs[0], last)).diverged


def test_epochs_to_an_accuracy_count_to_the_first_that_reaches_it():
    found = result(2.5, 1.0, 0.5, 0.4, accuracies=[0.1, 0.95, 0.9, 0.96])
    assert found.epochs_to(0.95) == 1
    assert found.epochs_to(0.96) == 3
    assert found.epochs_to(0.97) is None


def test_an_observer_is_told_everything_as_it_happens(few_digits):
    told = []

    class Listener(Observer):
        def started(self, trial):
            told.append("started")

        def epoch_ended(self, trial, epoch):
            told.append(epoch.number)

        def noticed(self, trial, finding):
            told.append(finding.kind)

        def ended(self, trial):
            told.append("ended")

    run(Trial(METHODS["batch"], lr=1e30), few_digits, SETTINGS, Listener())
    assert told == ["started", 0, 1, "NaN", "ended"]


def test_results_come_one_at_a_time(few_digits, monkeypatch):
    arriving = run_all([ADAM, ADAM], few_digits, SETTINGS)
    next(arriving)
    monkeypatch.setattr("gpuopt.demo.comparison.run", lambda *arguments: "the next one")
    assert next(arriving) == "the next one"


def test_the_defaults_are_compared_over_the_same_number_of_epochs(results):
    assert {result.final.number for result in results} == {4}
    assert [result.trial.method for result in results] == list(DEFAULT)
