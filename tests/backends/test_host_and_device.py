"""Parameters on the host and on a CUDA device in one optimizer: what is decided for both.

The tensors of the device pass for CUDA tensors, and lie in the memory of the host.
"""

import numpy as np
import pytest

import gpuopt
from gpuopt.arrays import scalars
from gpuopt.engine.dispatch import BACKENDS
from tests.helpers.bits import assert_same_bits
from tests.helpers.tensors import on, pretend, tensor_of, torch
from tests.tolerances import assert_close

SHAPES = ((5,), (8200,), (33, 7), (3,))
"""Of the tensors: one on the host and one on the device in each of two groups."""

HOST, DEVICE = (0, 2), (1, 3)
EVERYTHING = {"clip_norm": 1.0, "clip_value": 0.25, "ema_decay": 0.5, "skip_nonfinite": True}
EVERYTHING |= {"stats": True, "zero_grads": True}


@pytest.fixture
def both(device, request, monkeypatch):
    """LLVM for the tensors on the host, and this backend for those on the device."""
    if request.config.way == "gpu":
        pytest.skip("no device is simulated here")
    known = dict(BACKENDS)
    for name in [name for name, b in BACKENDS.items() if "cuda" in b.devices and name != device]:
        del BACKENDS[name]
    pretend(monkeypatch)
    real = scalars.device_of
    monkeypatch.setattr(
        scalars, "device_of", lambda a: getattr(a, "pretended_device", None) or real(a)
    )
    if device == "triton":
        from gpuopt.kernels.triton import launch

        memory = launch.TorchMemory
        monkeypatch.setattr(launch, "TorchMemory", lambda device, library: memory("cpu", library))
    yield
    BACKENDS.clear()
    BACKENDS.update(known)  # in the order of preference


def lay(i, array):
    return on("cuda:0", tensor_of(array)) if i in DEVICE else tensor_of(array)


def flag(number):
    """A number on the device, as GradScaler's found_inf."""
    return on("cuda:0", torch.tensor(float(number)))


def drawn(step, infinite=(), rest=()):
    """Arrays of small integers, whose squares have the same sum in every order."""
    rng = np.random.default_rng(step)
    found = [rng.integers(-4, 5, shape).astype(np.float32) for shape in SHAPES]
    for i in infinite:
        found[i].flat[-1] = np.inf
    return [None if i in rest else grad for i, grad in enumerate(found)]


def in_groups(arrays):
    return [arrays[:2], arrays[2:]]


class Pair:
    """The same optimizer twice: over tensors in both places, and over arrays, by NumPy."""

    def __init__(self, make, **options):
        self.params = [lay(i, array) for i, array in enumerate(drawn(99))]
        self.arrays, self.tail = drawn(99), options
        self.mine, self.theirs = (
            make([{"params": p, "lr": lr} for p, lr in zip(in_groups(own), (0.5, 0.25))], **options)
            for own in (self.params, self.arrays)
        )

    def step(self, step, skip=None, **drawing):
        """Take a step with both, of which a number on the device skips the first."""
        grads = drawn(step, **drawing)
        given = [g if g is None else lay(i, g) for i, g in enumerate(grads)]
        versions = [0 if g is None else g._version for g in given]
        self.mine._fused.run(given, self.mine._groups(1.0), skip)
        with gpuopt.use_backend("numpy"):
            if skip is None or not float(skip):
                self.theirs.step(in_groups(grads))
        if self.tail.get("zero_grads"):
            assert not any(g.any() for g in given if g is not None)
            assert all(g is None or g._version > v for g, v in zip(given, versions))
        self.check()

    def check(self):
        """Fail unless they are equal, bit for bit."""
        for mine, theirs in zip(self.params, self.arrays):
            assert_same_bits(mine, theirs)
        states, wanted = self.mine.state, self.theirs.state
        assert states.keys() == wanted.keys()
        for i, held in wanted.items():
            assert states[i].keys() == held.keys()
            for name, state in held.items():
                assert_same_bits(states[i][name], state, name)

    def check_stats(self):
        assert self.mine.grad_norm == self.theirs.grad_norm
        for mine, theirs in zip(self.mine.stats().values(), self.theirs.stats().values()):
            assert_close(tuple(mine), tuple(theirs), "sum in another order")


STEPS = (
    {},
    {"infinite": HOST[:1]},
    {},
    {"infinite": DEVICE[1:]},
    {"rest": (0, 3)},
    {"rest": HOST, "infinite": DEVICE[:1]},
    {"rest": HOST},
    {"rest": DEVICE, "infinite": HOST},
    {"rest": DEVICE},
)


def test_one_norm_clips_both_and_one_infinity_skips_both(both):
    pair = Pair(gpuopt.NAdam, **EVERYTHING)
    assert len(pair.mine.backend.split("+")) == 2
    for step, drawing in enumerate(STEPS):
        pair.step(step, **drawing)
        assert pair.mine.skipped_steps == pair.theirs.skipped_steps
        if "infinite" not in drawing:
            pair.check_stats()
    assert pair.mine.skipped_steps == 4


@pytest.mark.parametrize("options", [{"zero_grads": True}, EVERYTHING], ids=["", "measured"])
def test_a_number_on_the_device_skips_both(both, options):
    pair = Pair(gpuopt.NAdam, **options)
    for step, skip in enumerate((None, 0, 3, None, np.inf, 0)):
        pair.step(step, skip if skip is None else flag(skip))
    assert pair.mine._fused.norm.skipped() == 2


@pytest.mark.parametrize("options", [{}, {"clip_norm": 9.0}], ids=["", "measured"])
def test_two_devices_count_a_skipped_step_once(both, options):
    places = ("cuda:0", "cuda:1")
    params = [on(place, torch.zeros(8)) for place in places]
    optimizer = gpuopt.SGD(params, lr=1.0, **options)
    for number, moved in ((0, -1), (1, -1), (0, -2)):
        grads = [on(place, torch.ones(8)) for place in places]
        optimizer._fused.run(grads, optimizer._groups(1.0), flag(number))
        assert [param.tolist() for param in params] == [[moved] * 8] * 2
    assert optimizer._fused.norm.skipped() == 1
