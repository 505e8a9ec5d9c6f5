"""Totals over all tensors, and the numbers that these share, on every backend."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.bits import assert_same_bits
from tests.helpers.values import DTYPES
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
