"""Whole steps of the shipped backends on the machine: nothing races, and the bits are right."""

import gc

import numpy as np
import pytest

import gpuopt
from tests.helpers.exact import assert_same_bits

SIZES = (3, 1, 700)
OPTIMIZERS = {
    "sgd": lambda params, **more: gpuopt.SGD(params, lr=0.1, **more),
    "adam": lambda params, **more: gpuopt.Adam(params, lr=0.1, weight_decay=0.1, **more),
}
CLIPPED = {"clip_norm": 1.0, "skip_nonfinite": True}


def drawn(seed):
    random = np.random.default_rng(seed)
    return [random.standard_normal(size).astype(np.float32) for size in SIZES]


class Twins:
    """An optimizer on the device, and its twin on the host, which must agree.

    Attributes:
        drawn: returns the values of a seed: parameters of 0, gradients of others.
    """

    drawn = staticmethod(drawn)

    def __init__(self, library, make, devices=(0, 0, 0), **options):
        """Make both."""
        self.library, self.devices = library, devices
        self.here = self.drawn(0)
        self.there = self.arrays(0)
        self.optimizer = make(self.there, **options)
        self.twin = self.on_host(make, self.here, **options)

    def arrays(self, seed):
        """Return new arrays on the device."""
        return [self.library.array(a, d) for a, d in zip(self.drawn(seed), self.devices)]

    def expect(self, seed, without=()):
        """Let the twin step."""
        self.on_host(
            self.twin.step, [None if i in without else g for i, g in enumerate(self.drawn(seed))]
        )

    def on_host(self, function, *arguments, **options):
        """Call something of the twin, which NumPy updates."""
        with gpuopt.use_backend("numpy"):
            return function(*arguments, **options)

    def step(self, seed, without=()):
        """Let both step with new gradients, which are freed at once."""
        grads = self.arrays(seed)
        self.optimizer.step([None if i in without else g for i, g in enumerate(grads)])
        self.expect(seed, without)

    def check_arrays(self):
        """Fail unless the arrays of both have the same bits."""
        for mine, theirs in zip(self.there, self.here):
            assert_same_bits(self.library.values(mine), theirs)

    def check(self):
        """Fail unless the arrays of both have the same bits, and the same steps."""
        self.check_arrays()
        for state, expected in zip(self.optimizer.state.values(), self.twin.state.values()):
            assert state["step"] == expected["step"]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_with_new_gradients(library, make):
    twins = Twins(library, make)
    for seed in range(1, 5):
        twins.step(seed)
    twins.check()


@pytest.mark.parametrize("options", [{}, CLIPPED], ids=["plain", "clipped"])
def test_steps_in_one_stream_after_the_other(library, options):
    twins = Twins(library, OPTIMIZERS["adam"], **options)
    library.synchronize()
    streams = [library.stream() for _ in range(3)]
    for seed in range(1, 7):
        stream, before = streams[seed % 3], streams[(seed - 1) % 3]
        library.wait(stream, before)
        with library.inside(stream):
            twins.step(seed)
    library.wait(library.current(), stream)
    twins.check()


def test_tables_are_freed_and_built_anew(library):
    twins = Twins(library, OPTIMIZERS["adam"], **CLIPPED)
    library.synchronize()
    streams = [library.stream() for _ in range(2)]
    for seed, without in enumerate([(), (1,), (), (0, 2), (0, 2), ()], start=1):
        stream, before = streams[seed % 2], streams[(seed - 1) % 2]
        library.wait(stream, before)
        with library.inside(stream):
            twins.step(seed, without)
            if seed == 3:
                twins.optimizer.load_state_dict(twins.optimizer.state_dict())
    library.wait(library.current(), stream)
    twins.check()


def test_an_optimizer_that_is_dropped_while_its_stream_works(library):
    twins = Twins(library, OPTIMIZERS["adam"], **CLIPPED)
    for seed in (1, 2):
        twins.step(seed)
    twins.optimizer = None
    gc.collect()
    twins.check_arrays()


@pytest.mark.parametrize("library", ["torch", "torch-by-cupy"], indirect=True)
@pytest.mark.parametrize("gaps", [False, True])
def test_an_optimizer_that_is_dropped_while_another_stream_uses_its_states(library, gaps):
    """CuPy's pool does not ask which streams use its memory."""
    first, second = library.stream(), library.stream()
    with library.inside(first):
        param = library.array(np.zeros((4, 6), np.float32))
        grad = library.array(np.ones((4, 6), np.float32))
        parts = [param[:, ::2] if gaps else param, grad[:, ::2] if gaps else grad]
        optimizer = gpuopt.Momentum(parts[:1], lr=1.0, beta=0.5)
        optimizer.step(parts[1:])
    library.wait(second, first)
    with library.inside(second):
        optimizer.step(parts[1:])
        del optimizer
        gc.collect()
        assert set(library.values(param)[:, ::2].ravel().tolist()) == {-2.5}


def test_the_norm_and_a_step_that_the_device_skips(library):
    twins = Twins(library, OPTIMIZERS["sgd"], **CLIPPED)
    twins.step(1)
    bad = [np.full_like(array, np.inf) for array in drawn(2)]
    twins.optimizer.step([library.array(array) for array in bad])
    twins.on_host(twins.twin.step, bad)
    twins.step(3)
    assert twins.optimizer.skipped_steps == twins.twin.skipped_steps == 1
    # Each adds up the squares in an order of its own.
    assert twins.optimizer.grad_norm == pytest.approx(twins.twin.grad_norm, rel=1e-15)
    twins.check()


def test_an_lr_on_the_device(library):
    rate = library.array(np.float32(0.5))
    twins = Twins(library, OPTIMIZERS["sgd"])
    twins.optimizer.lr = rate
    for seed, value in enumerate((0.5, 0.25, 0.125), start=1):
        library.fill(rate, value)
        twins.twin.lr = value
        twins.step(seed)
    twins.check()


@pytest.mark.parametrize("options", [{}, CLIPPED], ids=["plain", "clipped"])
def test_replays_between_ordinary_steps(library, options):
    check_replays_between_steps(library, Twins(library, OPTIMIZERS["adam"], **options))


def check_replays_between_steps(library, twins):
    """Replay one step between others, with a learning rate on the device that changes."""
    rate = library.array(np.float32(0.5))
    twins.optimizer.lr, twins.twin.lr = rate, 0.5
    twins.step(1)
    grads = twins.arrays(2)
    replay = library.capture(twins.optimizer.step, grads)
    for seed in (2, 3, 2, 2, 4, 2):
        library.fill(rate, 1 / seed)
        twins.twin.lr = float(np.float32(1 / seed))
        if seed == 2:
            replay()
            twins.expect(2)
        else:
            twins.step(seed)
    twins.check()


def test_a_replay_after_the_tables_were_built_anew(library):
    twins = Twins(library, OPTIMIZERS["sgd"], **CLIPPED)
    twins.step(1)
    grads = twins.arrays(2)
    replay = library.capture(twins.optimizer.step, grads)
    twins.step(3, without=(0,))
    twins.optimizer.load_state_dict(twins.optimizer.state_dict())
    twins.step(4)
    library.synchronize()
    replay()
    twins.expect(2)
    twins.check_arrays()


@pytest.mark.parametrize("options", [{}, CLIPPED], ids=["plain", "clipped"])
def test_two_devices(library, options):
    twins = Twins(library, OPTIMIZERS["adam"], devices=(1, 0, 1), **options)
    for seed in range(1, 4):
        twins.step(seed)
    twins.check()
