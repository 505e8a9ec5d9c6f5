"""Steps captured in graphs, between ordinary ones: each graph replays what it captured."""

import numpy as np
import pytest

import gpuopt
from tests.helpers import simulated_cupy

G1, G2, G3 = (np.full(8, value, np.float32) for value in (1, 10, 100))


@pytest.fixture
def sgd():
    """How far each piece of work moves the parameter, under an lr of 1 at first."""
    param = np.zeros(8, np.float32)
    optimizer = gpuopt.SGD([param], lr=1.0)
    optimizer.step([G1])

    def moved(work, *arguments):
        before = param.copy()
        work(*arguments)
        (by,) = set((before - param).tolist())
        return by

    return optimizer, moved


def test_a_replay_between_ordinary_steps(device, sgd):
    optimizer, moved = sgd
    replay = device.capture(optimizer.step, [G1])
    assert moved(replay) == 1
    assert moved(optimizer.step, [G2]) == 10
    assert moved(replay) == 1
    assert moved(optimizer.step, [G2]) == 10
    assert optimizer.state[0]["step"] == 5


def test_a_gradient_that_moved_for_the_capture(device, sgd):
    optimizer, moved = sgd
    replay = device.capture(optimizer.step, [G2])
    assert moved(optimizer.step, [G2]) == 10
    assert moved(optimizer.step, [G3]) == 100
    assert moved(replay) == 10
    assert moved(optimizer.step, [G3]) == 100


def test_options_of_the_capture_and_of_ordinary_steps(device, sgd):
    optimizer, moved = sgd
    replay = device.capture(optimizer.step, [G1])
    optimizer.lr = 0.5
    assert moved(optimizer.step, [G1]) == 0.5
    assert moved(replay) == 1
    again = device.capture(optimizer.step, [G1])
    assert moved(optimizer.step, [G1]) == 0.5
    optimizer.lr = 0.25
    assert moved(optimizer.step, [G1]) == 0.25
    assert moved(again) == 0.5
    assert moved(replay) == 1
    assert moved(optimizer.step, [G1]) == 0.25


def test_two_graphs_one_after_the_other(device, sgd):
    optimizer, moved = sgd
    first = device.capture(optimizer.step, [G1])
    second = device.capture(optimizer.step, [G2])
    for _ in range(2):
        assert moved(first) == 1
        assert moved(second) == 10


def test_a_graph_of_two_steps(device, sgd):
    optimizer, moved = sgd
    replay = device.capture(lambda: (optimizer.step([G1]), optimizer.step([G2])))
    assert moved(optimizer.step, [G3]) == 100
    assert moved(replay) == 11


def test_a_replay_after_a_step_in_which_the_parameter_rested(device, sgd):
    optimizer, moved = sgd
    replay = device.capture(optimizer.step, [G1])
    optimizer.step([None])
    assert moved(replay) == 1
    assert moved(optimizer.step, [G1]) == 1


def test_a_send_that_fails_is_done_at_the_next_step(device, sgd, monkeypatch):
    optimizer, moved = sgd
    optimizer.lr = 0.5
    for broken in ("send_addresses", "send_options"):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no memory"):
            patch.setattr(simulated_cupy.DeviceTable, broken, _fail)
            optimizer.step([G2])
        assert moved(optimizer.step, [G3]) == 50
        optimizer.lr = 0.25
        assert moved(optimizer.step, [G1]) == 0.25
        optimizer.lr = 0.5


def _fail(*arguments):
    raise RuntimeError("no memory")


# --- a step that a number on the device skips ---------------------------------------------------


def test_a_step_that_the_device_skips(device, sgd, monkeypatch):
    """As GradScaler's found_inf: the host does not look."""
    optimizer, moved = sgd
    monkeypatch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
    found = np.zeros(1, np.float32)
    groups = optimizer._groups(1.0)

    def step(skip):
        optimizer._fused.run([G1], groups, skip)

    assert moved(step, found) == 1
    found[0] = 3
    assert moved(step, found) == 0
    assert moved(step, None) == 1
    assert moved(step, found) == 0
    found[0] = 0
    assert moved(step, found) == 1
    assert optimizer.state[0]["step"] == 4


def test_a_replay_after_a_skipped_step_is_none_of_it(device, sgd, monkeypatch):
    optimizer, moved = sgd
    replay = device.capture(optimizer.step, [G1])
    monkeypatch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
    optimizer._fused.run([G1], optimizer._groups(1.0), np.ones(1, np.float32))
    assert moved(replay) == 1


@pytest.mark.parametrize("tail", [{}, {"clip_norm": 1.0, "skip_nonfinite": True}])
def test_a_capture_copies_nothing_of_a_kind_that_was_not_copied_before(device, monkeypatch, tail):
    """CuPy compiles and loads a kernel for each kind of copy, which a capture may not allow."""
    copied, memory = [], simulated_cupy.HostMemory
    real = memory.copy_number

    def noted(self, array, row, column, number):
        copied.append((array.dtype, number.dtype))
        real(self, array, row, column, number)

    monkeypatch.setattr(memory, "copy_number", noted)
    optimizer = gpuopt.SGD([np.zeros(8, np.float32)], lr=1.0, **tail)
    optimizer.step([G1])
    before = set(copied)
    copied.clear()
    device.capture(optimizer.step, [G1])
    assert copied
    assert set(copied) <= before
