"""Captured steps of rules whose tensors share numbers: the device goes on with them by itself."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.bits import assert_same_bits
from tests.helpers.optimizers import everything
from tests.tail.cases import new_grads, new_params

SHAPES = ((5,), (9000,), (0,), ())
CASES = {
    "dadapt": ("DAdaptAdam", {}),
    "prodigy": ("Prodigy", {}),
    "one_pass": ("Prodigy", {"one_pass": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_replays_go_on_with_the_shared_numbers(device, case):
    name, options = CASES[case]
    params, twins = (new_params("float32", SHAPES) for _ in range(2))
    grads, others = (new_grads("float32", 0, SHAPES) for _ in range(2))
    options = {"lr": 0.5, "d0": 0.1, "skip_nonfinite": True, **options}
    mine, theirs = getattr(gpuopt, name)(params, **options), getattr(gpuopt, name)(twins, **options)
    mine.step(grads)
    theirs.step(others)
    replay = device.capture(mine.step, grads)
    seen = [mine.d]
    for k, how in enumerate((replay, replay, None, replay, replay)):
        for grad, other in zip(grads, others):
            grad[...] = other[...] = 1.0 + 0.1 * k
        if k == 1:
            grads[1][77] = others[1][77] = np.inf
        how() if how else mine.step(grads)
        theirs.step(others)
        seen.append(mine.d)
        assert mine.d == theirs.d
        assert everything(mine, ())[1] == everything(theirs, ())[1]
        for one, other in zip(params, twins):
            assert_same_bits(one, other)
    assert seen[2] == seen[1] and seen[-1] > seen[0]  # one was skipped
    assert mine.skipped_steps == 1
