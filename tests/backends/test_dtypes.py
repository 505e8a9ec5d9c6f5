"""Every mix of element types of parameter, gradient and states, and every 16-bit pattern."""

import numpy as np
import pytest

from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import (
    ALL_STAGES,
    REFERENCE,
    Problem,
    check,
    groups,
    on_backend,
    random_problem,
)
from tests.helpers.values import DTYPES, KINDS, values

NAMES = tuple(DTYPES)
STATES = (None, *NAMES)

# A compilation each: not every triple, but every pair of (parameter, gradient), (parameter,
# state) and (gradient, state) types.
MIXES = [
    (param, NAMES[(i + k) % len(NAMES)], state)
    for i, param in enumerate(NAMES)
    for k, state in enumerate(STATES)
]
TWICE = [("float32", "bfloat16", "float16"), ("bfloat16", "float32", None)]


def every_kind(rule, param, grad, state, *changes):
    return Problem(
        [values(kind, (300,), param) for kind in KINDS],
        [[values(kind, (300,), grad, t) for kind in (*KINDS[1:], KINDS[0])] for t in (1, 2, 3)],
        groups(rule, *changes, state_dtype=state),
        [i % max(len(changes), 1) for i in range(len(KINDS))],
    )


def test_the_mixes_hold_every_pair():
    for a, b, sizes in ((0, 1, 16), (0, 2, 20), (1, 2, 20)):
        assert len({(mix[a], mix[b]) for mix in MIXES}) == sizes


@pytest.mark.parametrize(("param", "grad", "state"), MIXES)
def test_adam(backend, param, grad, state):
    check(backend, every_kind("adam", param, grad, state), labels=KINDS)


@pytest.mark.parametrize("param", NAMES)
@pytest.mark.parametrize("grad", NAMES)
def test_gradient_descent(backend, param, grad):
    check(backend, every_kind("gradient_descent", param, grad, None), labels=KINDS)


@pytest.mark.parametrize("rule", ["amsgrad", "rmsprop_centered_momentum", "adagrad"])
@pytest.mark.parametrize(("param", "grad", "state"), TWICE)
def test_behind_every_stage(backend, rule, param, grad, state):
    check(backend, every_kind(rule, param, grad, state, ALL_STAGES, {}), labels=KINDS)


def test_several_mixes_in_one_step(backend):
    mixes = [("float64", "float32"), ("float16", "bfloat16"), ("float32", "float64")] * 3
    parts = [random_problem("momentum", [(5, 7)], dtypes=mix) for mix in mixes]
    grads = [[part.grads[t][0] for part in parts] for t in range(2)]
    check(backend, Problem([part.params[0] for part in parts], grads, parts[0].groups))


# --- p = p - lr*g with lr = -1 and p = 0 copies g through decoding and encoding ----------------


def copied(backend, grad, param_dtype):
    problem = Problem(
        [np.zeros(grad.shape, DTYPES[param_dtype])],
        [[grad]],
        groups("gradient_descent", {"lr": -1.0}),
    )
    return on_backend(backend, problem).params[0]


def halfway(dtype):
    """float32 values between all neighbours of a 16-bit type, a bit above, and a bit below."""
    infinity = np.array(np.inf, DTYPES[dtype]).view(np.uint16)
    bits = np.arange(infinity, dtype=np.uint16)
    lower, upper = (b.view(DTYPES[dtype]).astype(np.float64) for b in (bits, bits + np.uint16(1)))
    with np.errstate(all="ignore"):
        middle = ((lower + upper) / 2).astype(np.float32)
        beside = [np.nextafter(middle, np.float32(x)) for x in (np.inf, -np.inf)]
    positive = np.concatenate([middle, *beside])
    return np.concatenate([positive, -positive])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_pattern_is_decoded(any_backend, dtype):
    patterns = np.arange(1 << 16, dtype=np.uint16).view(DTYPES[dtype])
    with np.errstate(invalid="ignore"):  # signalling NaN among them
        expected = np.float32(0) + patterns.astype(np.float32)
    assert_same_bits(copied(any_backend, patterns, "float32"), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_tie_is_rounded_to_even(any_backend, dtype):
    grad = halfway(dtype)
    with np.errstate(all="ignore"):
        expected = (np.float32(0) + grad).astype(DTYPES[dtype])
    assert_same_bits(copied(any_backend, grad, dtype), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_nan_stays_one(any_backend, dtype):
    """A carry out of the bits of a NaN, say, would make a zero or an infinity of it."""
    low = np.arange(0, 1 << 23, 0x3FFF, dtype=np.uint32)
    bits = np.concatenate([low[1:], [1, (1 << 23) - 1]]).astype(np.uint32)
    patterns = np.concatenate([bits | 0x7F800000, bits | 0xFF800000]).view(np.float32)
    assert np.isnan(patterns).all()
    assert np.isnan(copied(any_backend, patterns, dtype)).all()


@pytest.mark.parametrize("param", NAMES)
def test_states_are_as_wide_as_the_arithmetic(any_backend, param):
    outcome = on_backend(any_backend, random_problem("adam", [(3,)], dtypes=(param, "float16")))
    expected = np.float64 if param == "float64" else np.float32
    assert {s.dtype for s in outcome.states[0].values()} == {np.dtype(expected)}


def test_the_reference_is_numpy():
    assert REFERENCE == "numpy"
