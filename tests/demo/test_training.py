from math import ceil, nan

import numpy as np
import pytest

import gpuopt
from gpuopt.demo import mlp
from gpuopt.demo.data import Split
from gpuopt.demo.training import StepClock, batches, layer_norms, measure, train

SIZES = (64, 8, 10)


class Recorder:
    """An optimizer that notes its gradients and does what it is told to the parameters."""

    backend = "none"

    def __init__(self, params, change=lambda params: None):
        self.params, self.change, self.grads = params, change, []

    def step(self, grads):
        self.grads.append(grads)
        self.change(self.params)


def run(digits, optimizer, params, epochs=2, batch_size=32, seed=0):
    clock = StepClock()
    found = train(
        params,
        optimizer,
        digits,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        clock=clock,
    )
    return list(found), clock


def test_batches_hold_every_image_once_with_its_label():
    split = Split(np.arange(10, dtype=np.float32)[:, None], np.arange(10))
    found = list(batches(split, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in found] == [4, 4, 2]
    labels = np.concatenate([batch.labels for batch in found])
    assert sorted(labels) == list(range(10))
    assert (np.concatenate([batch.images for batch in found])[:, 0] == labels).all()
    assert (labels != np.arange(10)).any()


def test_the_order_changes_from_epoch_to_epoch_and_follows_the_seed(few_digits, monkeypatch):
    def orders(seed):
        params = mlp.initialise(SIZES, 0)
        recorder = Recorder(params)
        run(few_digits, recorder, params, seed=seed)
        return [grads[0].tobytes() for grads in recorder.grads]

    steps = ceil(len(few_digits.train) / 32)
    found = orders(1)
    assert len(found) == 2 * steps
    assert found[:steps] != found[steps:]
    assert found == orders(1) != orders(2)


def test_epoch_0_is_the_network_before_training(few_digits):
    params = mlp.initialise(SIZES, 0)
    before = measure(0, mlp.initialise(SIZES, 0), few_digits)
    epochs, _ = run(few_digits, gpuopt.SGD(params, lr=0.1), params)
    assert epochs[0] == before
    assert [epoch.number for epoch in epochs] == [0, 1, 2]
    assert epochs[2].train_loss < before.train_loss


def test_what_is_measured_is_the_gradient_of_the_whole_training_loss(few_digits):
    params = mlp.initialise(SIZES, 0)
    recorder = Recorder(params)
    (epoch, _), _ = run(few_digits, recorder, params, epochs=1, batch_size=len(few_digits.train))
    values = mlp.forward(params, few_digits.train.images)
    grads = mlp.backward(params, values, few_digits.train.labels)
    assert epoch.gradient_norms == layer_norms(grads)
    assert epoch.train_loss == mlp.cross_entropy(values[-1], few_digits.train.labels)
    test = mlp.forward(params, few_digits.test.images)[-1]
    assert epoch.test_loss == mlp.cross_entropy(test, few_digits.test.labels)
    assert epoch.test_accuracy == mlp.accuracy(test, few_digits.test.labels)


def test_a_norm_takes_weight_and_bias_together_and_does_not_overflow():
    grads = [np.array([[3.0]], np.float32), np.array([4.0], np.float32)]
    assert layer_norms(grads) == (5.0,)
    huge = [np.array([[1e30]], np.float32), np.zeros(1, np.float32)]
    assert layer_norms(huge) == (float(np.float32(1e30)),)


@pytest.mark.parametrize("number", [nan, np.inf])
def test_training_stops_at_the_epoch_that_is_not_finite(few_digits, number):
    params = mlp.initialise(SIZES, 0)
    epochs, _ = run(few_digits, Recorder(params, lambda p: p[0].fill(number)), params, epochs=5)
    assert [epoch.finite for epoch in epochs] == [True, False]


def test_the_clock_times_every_step_and_nothing_else(few_digits, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr("gpuopt.demo.training.perf_counter", lambda: next(ticks))
    params = mlp.initialise(SIZES, 0)
    _, clock = run(few_digits, Recorder(params, lambda params: next(ticks)), params, epochs=1)
    assert clock.seconds == [2] * ceil(len(few_digits.train) / 32)


def test_the_typical_step_is_not_that_of_one_hiccup():
    assert StepClock(seconds=[0.1, 0.2, 0.3, 100.0, 0.1]).median == 0.2
