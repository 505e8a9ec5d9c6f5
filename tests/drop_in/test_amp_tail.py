"""The tail of a step inside torch.amp.GradScaler, beside what a torch user writes for it."""

import math

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import assert_close  # noqa: E402
from tests.tolerances import TOLERANCES  # noqa: E402

FEW_ROUNDINGS = TOLERANCES["few roundings in float32"]
LARGEST = 0.05
STEPS = 6
DATA = [torch.linspace(-1, 1, 8) * (k + 1) for k in range(STEPS)]
INFINITE = [(), (0,), (2,), (0, 1, 4)]


pytestmark = pytest.mark.usefixtures("nothing_to_compile")


def new_weights(dtype=torch.float32):
    return [torch.full((8,), x, dtype=dtype, requires_grad=True) for x in (0.5, -2.0)]


class Training:
    """A model of two weights, whose gradients overflow at some steps."""

    def __init__(self, weights, optimizer, infinite):
        self.weights, self.optimizer, self.infinite = weights, optimizer, infinite
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)

    def backward(self, k):
        """Leave the gradients of a step, scaled."""
        self.optimizer.zero_grad()
        loss = sum(((w * DATA[k].to(w.dtype)) ** 2).mean() for w in self.weights)
        self.scaler.scale(loss).backward()
        if k in self.infinite:
            self.weights[1].grad[3] = float("inf")

    def update(self):
        self.scaler.step(self.optimizer)
        self.scaler.update()


def of_torch(infinite):
    """Train as torch's documentation says; return what is left, and the norm of each step."""
    weights = new_weights()
    run = Training(weights, torch.optim.Adam(weights, lr=0.1, fused=True), infinite)
    norms = []
    for k in range(STEPS):
        run.backward(k)
        run.scaler.unscale_(run.optimizer)
        norms.append(float(torch.nn.utils.clip_grad_norm_(weights, LARGEST)))
        run.update()
    return run, norms


@pytest.mark.parametrize("infinite", INFINITE, ids=str)
@pytest.mark.parametrize("unscale", [False, True], ids=["scaled", "unscaled"])
def test_clipping_as_torch(infinite, unscale):
    theirs, norms = of_torch(infinite)
    weights = new_weights()
    options = {"clip_norm": LARGEST, "stats": True}
    mine = Training(weights, ours.Adam(weights, lr=0.1, **options), infinite)
    for k in range(STEPS):
        mine.backward(k)
        if unscale:
            mine.scaler.unscale_(mine.optimizer)
        mine.update()
        if k not in infinite:
            stats = mine.optimizer.stats().values()
            both = [mine.optimizer.grad_norm, math.hypot(*(s.grad_norm for s in stats))]
            assert both == pytest.approx([norms[k]] * 2, rel=FEW_ROUNDINGS.relative)
            assert norms[k] > 2 * LARGEST  # else nothing is clipped
    assert mine.scaler.get_scale() == theirs.scaler.get_scale()
    assert_close(weights, theirs.weights, "formula float32")
    for held, other in zip(mine.optimizer.state.values(), theirs.optimizer.state.values()):
        assert held.keys() == other.keys() and held["step"] == other["step"]
        assert_close([held["exp_avg"]], [other["exp_avg"]], "formula float32")


AROUND = {
    "ema": {"ema_decay": 0.9},
    "master": {"ema_decay": 0.9, "master_weights": True},
    "kahan": {"kahan_sum": True},
    "rounding": {"stochastic_rounding": True},
    "skip": {"skip_nonfinite": True, "ema_decay": 0.9},
}


def bits(weights, optimizer):
    tensors = [*weights, *(x for own in optimizer.state.values() for x in own.values())]
    return [t.detach().clone().reshape(-1).view(torch.uint8).tolist() for t in tensors]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unscale", [False, True], ids=["scaled", "unscaled"])
def test_a_skipped_step_changes_no_bit(around, unscale):
    weights = new_weights(torch.bfloat16)
    options = {"clip_norm": LARGEST, **AROUND[around]}
    run = Training(weights, ours.Adam(weights, lr=0.1, **options), infinite=(2, 3))
    for k in range(STEPS):
        before = bits(weights, run.optimizer)
        run.backward(k)
        if unscale:
            run.scaler.unscale_(run.optimizer)
        run.update()
        assert (bits(weights, run.optimizer) == before) == (k in run.infinite)
    if around == "skip":
        assert run.optimizer.skipped_steps == 2


def test_the_same_bits_with_and_without_an_explicit_unscaling():
    """The scale is a power of two, which rounds nothing."""
    found = []
    for unscale in (False, True):
        weights = new_weights()
        options = {"clip_norm": LARGEST, "clip_value": 0.01, "ema_decay": 0.9}
        run = Training(weights, ours.Adam(weights, lr=0.1, **options), infinite=(1,))
        for k in range(STEPS):
            run.backward(k)
            if unscale:
                run.scaler.unscale_(run.optimizer)
            run.update()
        found.append(bits(weights, run.optimizer))
    assert found[0] == found[1]
