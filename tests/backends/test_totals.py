"""Totals over all tensors, and the numbers that these share, on every backend."""

from functools import partial

import numpy as np
import pytest
from gpuopt.kernels import device_totals

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.bits import assert_same_bits
from tests.helpers.stepping import groups
from tests.helpers.tensors import tensor_of, torch
from tests.helpers.values import DTYPES, values
from tests.tolerances import assert_close

SIZES = (5, 9000, 0, 1)
LR = {"lr": 0.5, "d0": 0.01}
CASES = {
    "dadapt": ("DAdaptAdam", LR),
    "dadapt_decouple": ("DAdaptAdam", {**LR, "decouple": True, "weight_decay": 0.1}),
    "prodigy": ("Prodigy", {**LR, "weight_decay": 0.1}),
    "prodigy_l2": ("Prodigy", {**LR, "weight_decay": 0.1, "decouple": False}),
    "one_pass": ("Prodigy", {**LR, "one_pass": True}),
}
TAILS = {
    "stats": {"stats": True},
    "narrow": {"stochastic_rounding": True, "state_dtype": "8bit", "min_8bit_size": 0},
    "all": {"stats": True, "clip_norm": 0.5, "skip_nonfinite": True, "master_weights": True},
}


def drawn(seed, dtypes):
    """Arrays of these dtypes in turn."""
    rng = np.random.default_rng(seed)
    kinds = [DTYPES[dtypes[i % len(dtypes)]] for i in range(len(SIZES))]
    return [rng.standard_normal(n).astype(kind) for n, kind in zip(SIZES, kinds)]


def trained(backend, case, dtypes, tail=None, steps=5, bad=3):
    """An optimizer after steps with gradients of one sign, so that d grows; and its arrays."""
    name, options = CASES[case]
    params = drawn(0, dtypes)
    with gpuopt.use_backend(backend):
        optimizer = getattr(gpuopt, name)(params, **options, **(tail or {}))
        for step in range(steps):
            grads = [(1 + 0.1 * g.astype(np.float32)).astype(g.dtype) for g in drawn(9, dtypes)]
            grads[0] = None if step == 1 else grads[0]
            if step == bad and (tail or {}).get("skip_nonfinite"):
                grads[1][77] = np.inf
            before = optimizer.d
            optimizer.step(grads)
            assert optimizer.d >= before
            if step == bad and (tail or {}).get("skip_nonfinite"):
                assert optimizer.d == before
                assert optimizer.skipped_steps == 1
        state = optimizer.state_dict()["state"]
    return optimizer, params, state


def check(backend, case, dtypes, tail=None):
    """Compare a backend with the reference, and with itself."""
    mine, params, state = trained(backend, case, dtypes, tail)
    again, others, _ = trained(backend, case, dtypes, tail)
    wanted, expected, states = trained("numpy", case, dtypes, tail)
    assert mine.d == again.d > mine.d0
    assert_close(mine.d, wanted.d, "totals of a backend")
    for a, b, c in zip(params, others, expected):
        assert_same_bits(a, b)
        tolerance = "totals of a backend" if a.dtype.itemsize > 2 else "totals in 16 bits"
        assert_close(a.astype(np.float64), c.astype(np.float64), tolerance)
    assert mine.k == wanted.k
    assert [own["step"] for own in state.values()] == [own["step"] for own in states.values()]
    assert all(own["d"] == mine.d for own in state.values())


@pytest.mark.parametrize("case", CASES)
def test_totals_are_those_of_the_reference(backend, case):
    check(backend, case, ("float32", "float64"))


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("case", ["dadapt", "prodigy"])
def test_a_tail_around_them(backend, case, tail):
    check(backend, case, ("bfloat16",) if tail in ("narrow", "all") else ("float32",), TAILS[tail])


class First:
    """The process of the first shard; the other's step runs while it waits for its partials."""

    whole = False

    def combine(self, partials):
        self.partials = partials
        self.step_of_the_other()
        return self.partials


class Second:
    """The process of the other shard."""

    whole = False

    def __init__(self, first):
        self.first = first

    def combine(self, partials):
        self.first.partials = self.first.partials + partials
        return self.first.partials


def in_shards(rule, drawn, lay=np.copy, skips=(None,) * 4):
    """A tensor's halves and the tensor after steps with gradients of one sign, and the steps."""
    (group,) = groups(rule, {"lr": 0.5, "d0": 0.1})
    params, *grads = [list(map(lay, (x[:4], x[4:], x))) for x in drawn]
    first = First()
    halves = [
        FusedStep([param], ["p"], [0], process_groups=[process])
        for param, process in zip(params, (first, Second(first)))
    ]
    whole = FusedStep([params[2]], ["p"], [0])
    for (grad, of_the_other, of_whole), skip in zip(grads, skips, strict=True):
        first.step_of_the_other = partial(halves[1].run, [of_the_other], [group], skip)
        halves[0].run([grad], [group], skip)
        whole.run([of_whole], [group], skip)
    return params, (*halves, whole)


def of_one_sign(count):
    """A tensor, and gradients that let an estimate of it grow."""
    drawn = [values("ordinary", (9, 30), "float32", i) for i in range(count)]
    return [drawn[0], *(1 + 0.1 * grad for grad in drawn[1:])]


@pytest.mark.parametrize("rule", ["dadapt_adam", "prodigy", "prodigy_one_pass"])
def test_totals_are_those_of_all_shards(any_backend, rule):
    with gpuopt.use_backend(any_backend):
        params, (*halves, whole) = in_shards(rule, of_one_sign(5))
    assert whole.shared["d"] > 0.1
    for half in halves:
        assert_close(half.shared["d"], whole.shared["d"], "totals of a backend")
        assert half.shared["k"] == 4
    assert_close(np.concatenate(params[:2]), params[2], "totals of a backend")


@pytest.mark.parametrize("rule", ["dadapt_adam", "prodigy", "prodigy_one_pass"])
def test_a_step_that_the_device_skips_moves_no_shared_number(device, rule, monkeypatch):
    """Whether the device advances them, or the host, which does not look before: of shards."""
    drawn, skips = of_one_sign(4), [torch.tensor(number) for number in (0.0, 1.0, 1.0)]
    with gpuopt.use_backend(device), monkeypatch.context() as patch:
        patch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
        _, expected = in_shards(rule, drawn[:2], tensor_of, skips[:1])
        _, steps = in_shards(rule, drawn, tensor_of, skips)
        for one, wanted in zip(steps, expected):
            assert one.shared == wanted.shared
            assert one.shared["k"] == one.steps.tolist()[0] == 1


@pytest.mark.parametrize("case", ["dadapt", "prodigy", "one_pass"])
def test_a_checkpoint_goes_on_with_them(any_backend, case):
    name, options = CASES[case]
    mine, params, _ = trained(any_backend, case, ("float32",))
    others = [p.copy() for p in params]
    other = getattr(gpuopt, name)(others, **options)
    other.load_state_dict(mine.state_dict())
    assert other.d == mine.d
    with gpuopt.use_backend(any_backend):
        for optimizer in (mine, other):
            optimizer.step([np.ones_like(p) for p in params])
    assert other.d == mine.d
    for one, two in zip(params, others):
        assert_same_bits(one, two)


def test_many_chunks_are_added_in_two_rounds(device, monkeypatch):
    wanted, _, _ = trained("numpy", "prodigy", ("float32",))
    monkeypatch.setattr(device_totals, "SUBTOTAL_ROWS", 2)
    found, _, _ = trained(device, "prodigy", ("float32",))
    assert_close(found.d, wanted.d, "totals of a backend")


def test_groups_have_one_learning_rate_or_none():
    first, second = np.ones(3), np.ones(3)
    optimizer = gpuopt.Prodigy([{"params": [first], "lr": 0.5}, {"params": [second], "lr": 1.0}])
    with pytest.raises(ValueError, match="lr: expected one value in all groups"):
        optimizer.step([[np.ones(3)], [np.ones(3)]])
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step([[np.ones(3)], [np.ones(3)]])
    assert (first == 1).all() and (second < 1).all()
    with pytest.raises(AttributeError, match="d: found by the steps"):
        optimizer.d = 1.0
