"""All that a step does besides its rule, on torch's tensors: the bits of the host."""

import pytest

import gpuopt
from tests.gpu.arrays import BACKENDS, assert_equal, tensors
from tests.tolerances import assert_close

TAILS = {
    "clip": ("float32", {"clip_norm": 1.0}),
    "ema and stats": ("float32", {"ema_decay": 0.9, "stats": True}),
    "skip and zero": ("float32", {"clip_norm": 1.0, "skip_nonfinite": True, "zero_grads": True}),
    "master": ("bfloat16", {"master_weights": True, "clip_norm": 1.0, "ema_decay": 0.9}),
    "stochastic": ("bfloat16", {"stochastic_rounding": True}),
    "kahan": ("bfloat16", {"kahan_sum": True}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tail", TAILS)
def test_same_bits_as_the_host(torch, device, backend, tail):
    dtype, options = TAILS[tail]
    results = []
    for where in (device, "cpu"):
        params = finite(tensors(torch, 0, dtype, where))
        with gpuopt.use_backend(backend if where == device else "numpy"):
            optimizer = gpuopt.Adam(params, lr=0.1, **options)
            for step in range(3):
                grads = finite(tensors(torch, step + 1, dtype, where))
                if step == 1 and options.get("skip_nonfinite"):
                    grads[-1][77] = float("inf")
                optimizer.step(grads)
            states = [t for s in optimizer.state.values() for t in s.values() if hasattr(t, "cpu")]
            skipped = optimizer.skipped_steps if options.get("skip_nonfinite") else 0
            norm = optimizer.grad_norm if optimizer.tail.measures else 0.0
        results.append(([*params, *grads, *states], skipped, norm))
    (mine, *counts), (theirs, *expected) = results
    assert len(mine) == len(theirs)
    assert_equal(mine, theirs)
    assert counts[0] == expected[0]
    assert_close(counts[1], expected[1], "sum in another order")


def finite(given):
    """Return values whose norm is finite: neither NaN nor so large that its square overflows."""
    return [t.nan_to_num(0.5, 1.0, -1.0).clamp(-100.0, 100.0) for t in given]
