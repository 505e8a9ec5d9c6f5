"""Captured steps with a tail: a replay leaves what an ordinary step would."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.bits import assert_same_bits
from tests.helpers.optimizers import everything
from tests.tail.cases import new_grads, new_params

SHAPES = ((5,), (9000,), (0,), ())
AROUND = {"clip_norm": 1.0, "ema_decay": 0.75, "stats": True}
TAILS = {
    "clip_ema_stats": AROUND,
    "skip": {**AROUND, "skip_nonfinite": True, "zero_grads": True},
    "master": {**AROUND, "master_weights": True},
    "kahan": {**AROUND, "kahan_sum": True},
    "rounding": {**AROUND, "stochastic_rounding": True, "seed": 3},
}


class Pair:
    """The same training twice: once with ordinary steps alone, once in graphs, too.

    The gradients of the second lie where they lay when it was captured.
    """

    def __init__(self, dtype, options):
        self.dtype = dtype
        self.params, self.twins = (new_params(dtype, SHAPES) for _ in range(2))
        self.grads, self.others = (new_grads(dtype, 0, SHAPES) for _ in range(2))
        self.mine = gpuopt.Adam(self.params, lr=0.1, **options)
        self.theirs = gpuopt.Adam(self.twins, lr=0.1, **options)

    def step(self, k, how=None, bad=False):
        """Take a step with both; ``how`` is what the first one does."""
        for mine, other, grad in zip(self.grads, self.others, new_grads(self.dtype, k, SHAPES)):
            mine[...] = other[...] = grad
        if bad:
            self.grads[1][77] = self.others[1][77] = np.inf
        (how or self.ordinary)()
        self.theirs.step(self.others)

    def ordinary(self):
        self.mine.step(self.grads)

    def check(self):
        states, wanted = (everything(o, ())[1] for o in (self.mine, self.theirs))
        assert states == wanted
        for mine, theirs in zip(self.params, self.twins):
            assert_same_bits(mine, theirs)
        for mine, theirs in zip(self.grads, self.others):
            assert_same_bits(mine, theirs)
        assert self.mine.stats() == self.theirs.stats()
        assert self.mine.grad_norm == self.theirs.grad_norm


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_replays_between_ordinary_steps(device, tail, dtype):
    pair = Pair(dtype, TAILS[tail])
    pair.step(0)
    replay = device.capture(pair.mine.step, pair.grads)
    for k, how in enumerate((replay, None, replay, replay, None), start=1):
        pair.step(k, how)
        pair.check()


def test_a_replay_skips_what_is_not_finite_and_counts_it(device):
    pair = Pair("float32", TAILS["skip"])
    pair.step(0)
    replay = device.capture(pair.mine.step, pair.grads)
    for k, how in enumerate((replay, replay, None, replay), start=1):
        before = [p.copy() for p in pair.params]
        pair.step(k, how, bad=k < 3)
        pair.check()
        assert pair.mine.skipped_steps == pair.theirs.skipped_steps == min(k, 2)
        assert (before[1] == pair.params[1]).all() == (k < 3)


def test_a_replay_clips_as_at_its_capture(device):
    pair = Pair("float32", AROUND)
    pair.step(0)
    replay = device.capture(pair.mine.step, pair.grads)
    pair.mine.change(clip_norm=7.0, ema_decay=0.125)
    pair.step(1, replay)
    pair.check()
    pair.theirs.change(clip_norm=7.0, ema_decay=0.125)
    pair.step(2)
    pair.check()


@pytest.mark.parametrize("options", [{"clip_norm": 1.0}, {"skip_nonfinite": True}], ids=str)
def test_a_replay_after_a_skipped_step_is_none_of_it(device, options, monkeypatch):
    """Skipped for a number on the device, as GradScaler's found_inf."""
    param, grads = np.zeros(8, np.float32), [np.full(8, 0.125, np.float32)]
    optimizer = gpuopt.SGD([param], lr=1.0, **options)
    optimizer.step(grads)
    replay = device.capture(optimizer.step, grads)
    monkeypatch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
    before = param.copy()
    optimizer._fused.run(grads, optimizer._groups(1.0), np.ones(1, np.float32))
    assert (param == before).all()
    replay()
    assert (param == before - np.float32(0.125)).all()
