"""Kernels with a tail: their bits and sums, each byte once; hostile roundings; spoilt ones."""

import numpy as np
import pytest
from gpuopt.kernels.cuda.source import CHUNK
from gpuopt.kernels.numpy.blocks import partials_of

from gpuopt.inspection.cases import TAILS, Case
from tests.helpers.values import DTYPES
from tests.tolerances import assert_close

from . import build
from .run import Fault
from .walks import SIZES, ptx_of, replaced, walk_of

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

FLOAT32, BFLOAT16 = ("float32",) * 3, ("bfloat16", "bfloat16", "float32")
FLOAT16 = ("float16", "float32", "float32")
BOTH = (BFLOAT16, FLOAT16)
NARROW = {"master": BOTH, "rounding": (BFLOAT16,), "kahan": BOTH, "whole": BOTH}
CASES = [
    (variant, dtypes)
    for variant in (*TAILS, "measure")
    for dtypes in NARROW.get(variant, (FLOAT32, BFLOAT16))
]


def check(case, text=""):
    """Fail unless bits and sums are the rule's, and each byte was moved once."""
    for kind in ("mixed", "ordinary"):
        walk = walk_of(case, SIZES, text, rest=True, kind=kind)
        partials = wanted_partials(walk)
        walk.check()
        walk.check_counts(case.floor)
        check_partials(walk.partials, partials)


def wanted_partials(walk):
    """What each chunk is to say of what is watched, by NumPy; of a tensor that rests zeros."""
    found = [np.zeros((0, len(walk.update.watched_names), 3))]
    for row, coefficients in zip(walk.arrays, walk.coefficients):
        chunks = np.zeros((-(-row[0].size // CHUNK), *found[0].shape[1:]))
        if row[1] is not None:
            watched = walk.results(row, coefficients)[len(walk.update.written) :]
            for i, chunk in enumerate(chunks):
                part = slice(i * CHUNK, (i + 1) * CHUNK)
                chunk[...] = np.reshape([partials_of(w[part]) for w in watched], chunk.shape)
        found.append(chunks)
    return np.concatenate(found)


def check_partials(found, wanted):
    """Fail unless the largest values and the counts are equal, and the sums but for their order."""
    np.testing.assert_array_equal(found[..., 2], wanted[..., 2], "not as many are not finite")
    assert_close(found[..., 0], wanted[..., 0], "sum of a chunk")
    np.testing.assert_array_equal(found[..., 1], wanted[..., 1], "another largest element")


@pytest.mark.parametrize(("variant", "dtypes"), CASES, ids=lambda x: x if x in TAILS else x[0])
@pytest.mark.parametrize("arch", [90, 100])
def test_a_tail_moves_each_byte_once(backend, variant, dtypes, arch):
    check(Case(backend, "update", "adam", variant, dtypes, arch))


@pytest.mark.parametrize("variant", ["stats", "clip_ema", "measure"])
def test_the_order_of_blocks_and_threads_does_not_change_a_bit(backend, variant):
    case = Case(backend, "update", "adam", variant, FLOAT32, 90)
    forwards, backwards = (walk_of(case, SIZES, reverse=reverse) for reverse in (False, True))
    for walk in (forwards, backwards):
        walk.run()
    assert forwards.partials.tobytes() == backwards.partials.tobytes()
    for row, other in zip(forwards.arrays, backwards.arrays):
        assert [a.tobytes() for a in row] == [a.tobytes() for a in other]


# --- a step that is skipped ----------------------------------------------------------------------


def check_skipped(case, text=""):
    """Fail unless gradients are cleared, if they are to be, and nothing else happens."""
    walk = walk_of(case, SIZES, text, rest=True)
    walk.skip = 3.0
    before = [[a if a is None else a.copy() for a in row] for row in walk.arrays]
    walk.run()
    for now, old, regions in zip(walk.arrays, before, walk.regions):
        if old[1] is not None:
            cleared = case.variant == "zero_grads"
            assert (regions[1].stores == cleared).all(), "stores of a gradient"
            old[1] = np.zeros_like(old[1]) if cleared else old[1]
            regions.pop(1)
        assert not any(r.stores.any() or r.loads.any() for r in regions), "others are accessed"
        for array, wanted in zip(now, old):
            assert array is None or array.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("variant", ["clip_ema", "zero_grads", "stats"])
@pytest.mark.parametrize("dtypes", [FLOAT32, BFLOAT16], ids="-".join)
def test_a_skipped_step_clears_each_gradient_once(backend, variant, dtypes):
    check_skipped(Case(backend, "update", "adam", variant, dtypes, 90))


def test_a_clearing_that_leaves_something_is_noticed(backend):
    patterns = {
        "triton": r"@%p\d+ st\.global\.b32[^;]*;",
        "cupy": r"st\.global\.u32[^;]*;",
    }
    case = Case(backend, "update", "adam", "zero_grads", FLOAT32, 90)
    text = replaced(patterns[backend], "")(ptx_of(case))
    assert text != ptx_of(case)
    with pytest.raises(AssertionError, match="stores of a gradient"):
        check_skipped(case, text)


# --- hostile roundings ---------------------------------------------------------------------------


def hostile():
    """Float32 around all that 16 bits round: ties, subnormals, the ends, infinities, NaN."""
    tops = [0, 1, 0x7F, 0x80, 0x81, 0x3F80, 0x3F81, 0x7F7E, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0]
    lows = [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
    bits = [top << 16 | low for top in tops for low in lows]
    halves = [0x33000000, 0x33800000, 0x38800000, 0x3F800000, 0x477FE000, 0x477FF000]
    bits += [half + ulps for half in halves for ulps in (-0x1000, -1, 0, 1, 0xFFF, 0x1000, 0x1001)]
    found = np.array([b | sign << 31 for b in bits for sign in (0, 1)], np.uint32)
    return np.resize(found, CHUNK + 137).view(np.float32)


def rounding_walk(case, text=""):
    """A step of gradient descent that rounds what is hostile, exactly as it is."""
    walk = walk_of(case, [CHUNK + 137], text)
    (row,), values = walk.arrays, hostile()
    whole = [name.endswith(("_high", "_low")) for name in walk.update.coefficient_names]
    walk.coefficients[:, np.invert(whole)] = 1.0
    for array, name in zip(row, walk.update.lists):
        array[...] = {"grads": -values, "master": values}.get(name, 0.0)
    if "master" in walk.update.lists:
        row[1][...] = 0.0
    return walk


ROUNDED = [(v, d) for v in NARROW for d in NARROW[v]]


@pytest.mark.parametrize(("variant", "dtypes"), ROUNDED, ids=lambda x: x if x in TAILS else x[0])
@pytest.mark.parametrize("arch", [80, 90, 100])
def test_hostile_roundings(backend, variant, dtypes, arch):
    mixed = (dtypes[0], "float32", "float32")
    walk = rounding_walk(Case(backend, "update", "gradient_descent", variant, mixed, arch))
    walk.check()
    if variant != "rounding":
        with np.errstate(over="ignore", invalid="ignore"):
            wanted = hostile().astype(DTYPES[dtypes[0]])
        assert np.array_equal(walk.arrays[0][0], wanted, equal_nan=True)


# --- spoilt kernels: each must be noticed --------------------------------------------------------


SPOILT = {
    "a gradient that is not clipped": (
        "clip_ema",
        {
            "triton": replaced(r"mul\.rn\.f32(\s+%\w+), %\w+, (%\w+);", r"mov.b32\1, \2;"),
            "cupy": replaced(r"mul\.rn\.f32(\s+%\w+), (%\w+), %\w+;", r"mov.b32\1, \2;"),
        },
    ),
    "a gradient that is clipped twice": (
        "clip_ema",
        {
            "triton": replaced(
                r"(mul\.rn\.f32\s+)(%\w+), (%\w+), (%\w+);", r"\1\2, \3, \4; \1\2, \3, \2;"
            ),
            "cupy": replaced(
                r"(mul\.rn\.f32\s+)(%\w+), (%\w+), (%\w+);", r"\1\2, \3, \4; \1\2, \2, \4;"
            ),
        },
    ),
    "lanes that keep what they have": (
        "stats",
        replaced(r"shfl\.sync\.bfly\.b32(\s+%\w+)(?:\|%p\d+)?, (%\w+),[^;]*;", r"mov.b32\1, \2;"),
    ),
    "the first lane as the largest": (
        "stats",
        replaced(r"abs\.f32(\s+%\w+), %\w+;", r"mov.b32\1, 0;", 0),
    ),
    "no barriers": ("stats", replaced(r"bar\.sync\s+0;", "", 0)),
    "another multiplier of Philox": ("rounding", replaced("-766435501", "-766435499", 0)),
    "random numbers of the neighbours": (
        "rounding",
        replaced(r"(shr\.s64[^;]*), 2;", r"\1, 3;", 0),
    ),
    "a compensation with its sign turned": (
        "kahan",
        replaced(r"(sub\.rn\.f32\s+%\w+), (%\w+), (%\w+);", r"\1, \3, \2;", 0),
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_tail_is_noticed(backend, how):
    variant, spoil = SPOILT[how]
    spoil = spoil[backend] if isinstance(spoil, dict) else spoil
    dtypes = NARROW.get(variant, (FLOAT32,))[0]
    case = Case(backend, "update", "adam", variant, dtypes, 90)
    text = spoil(ptx_of(case))
    assert text != ptx_of(case)
    with pytest.raises((AssertionError, Fault)):
        check(case, text)


@pytest.mark.parametrize("by", ["32766", "32768", "0"])
def test_another_rounding_is_noticed(backend, by):
    mixed = ("bfloat16", "float32", "float32")
    case = Case(backend, "update", "gradient_descent", "kahan", mixed, 90)
    text = replaced(r"(add\.s32[^;]*), 32767;", rf"\1, {by};", 0)(ptx_of(case))
    assert text != ptx_of(case)
    with pytest.raises(AssertionError, match="elements differ"):
        rounding_walk(case, text).check()
