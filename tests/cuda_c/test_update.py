"""The CUDA C of every rule, run on the CPU, gives the bits of the NumPy rule."""

import itertools
import mmap

import numpy as np
import pytest
from gpuopt.kernels.cuda.source import CHUNK, THREADS
from gpuopt.kernels.storage import STORAGE

from gpuopt import RULES
from tests.cuda_c.tables import Walk, drawn, list_dtypes, update_of
from tests.helpers.exact import assert_same_bits
from tests.helpers.guarded import at_the_end
from tests.helpers.layouts import Layout, Placed
from tests.helpers.values import KINDS, values

BOUNDARIES = sorted(
    {
        around + d
        for around in (1, 8, THREADS, 4 * THREADS, CHUNK, CHUNK + 4 * THREADS, 2 * CHUNK)
        for d in (-1, 0, 1)
    }
)
NAMES = list(STORAGE)
PAIRS = [(NAMES[i], NAMES[j], NAMES[(i + j) % 4]) for i, j in itertools.product(range(4), repeat=2)]
"""Mixes in which every two dtypes meet in every two places."""


def aligned(arrays, shift=0):
    """Copies at multiples of 16 bytes, or so many bytes behind them."""
    return [[Placed(a, Layout(shift=shift)).array for a in row] for row in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_around_every_boundary(rule, dtype):
    update = update_of(rule)
    dtypes = list_dtypes(update, dtype, dtype, dtype)
    Walk(update, dtypes, True, aligned(drawn(update, dtypes, BOUNDARIES))).check()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_on_each_kind_of_value(rule):
    update = update_of(rule)
    dtypes = list_dtypes(update, "float32", "float32", "float32")
    rows = [drawn(update, dtypes, [CHUNK + 99], kind)[0] for kind in KINDS]
    Walk(update, dtypes, True, aligned(rows)).check()


@pytest.mark.parametrize("mix", PAIRS, ids="-".join)
def test_every_two_dtypes(mix):
    update = update_of("adam", stages=False)
    dtypes = list_dtypes(update, *mix)
    Walk(update, dtypes, True, aligned(drawn(update, dtypes, [77, CHUNK, 2 * CHUNK + 3]))).check()


@pytest.mark.parametrize("mix", [PAIRS[1], PAIRS[15], ("float32",) * 3], ids="-".join)
def test_misaligned_tensors(mix):
    update = update_of("amsgrad")
    dtypes = list_dtypes(update, *mix)
    narrowest = min(STORAGE[dtype].itemsize for dtype in dtypes)
    arrays = drawn(update, dtypes, [1, 1000, CHUNK, 2 * CHUNK + 5])
    for shift in {narrowest, 8}:
        placed = [
            [Placed(a, Layout(shift=max(shift, a.itemsize))).array for a in row] for row in arrays
        ]
        Walk(update, dtypes, False, placed).check()


@pytest.mark.parametrize("vectors", [True, False])
def test_nothing_beside_the_arrays_changes(vectors):
    update = update_of("adam")
    dtypes = list_dtypes(update, "float32", "bfloat16", "float32")
    rows = drawn(update, dtypes, BOUNDARIES)
    placed = [[Placed(a, Layout(shift=0 if vectors else 4)) for a in row] for row in rows]
    Walk(update, dtypes, vectors, [[p.array for p in row] for row in placed]).run()
    for row, arrays in zip(placed, rows):
        for one in row:
            one.assert_only_the_array_changed()
        assert_same_bits(row[1].array, arrays[1], "the gradient")


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="memory cannot be protected here")
@pytest.mark.parametrize("vectors", [True, False])
def test_nothing_is_read_behind_an_array_and_gradients_are_not_written(vectors):
    """It would crash."""
    update = update_of("adam")
    dtypes = list_dtypes(update, "float32", "bfloat16", "float32")
    # Multiples of 8 elements: what ends with a page is aligned to 16 bytes.
    rows = [
        [at_the_end(a, read_only=i == 1) for i, a in enumerate(row)]
        for row in drawn(update, dtypes, [8, 1000, CHUNK, CHUNK + 8, CHUNK + 4 * THREADS])
    ]
    Walk(update, dtypes, vectors, rows).check()


def test_a_tensor_without_a_gradient_rests():
    update = update_of("momentum")
    rows = aligned(drawn(update, ("float32",) * 3, [CHUNK + 5, CHUNK + 5, 0, 7]))
    rows[0][1] = rows[3][1] = None
    Walk(update, ("float32",) * 3, True, rows).check()


def test_offsets_have_64_bits():
    """The chunk is so far behind the address in the table that 32 bits cannot say it."""
    update = update_of("gradient_descent", stages=False)
    dtypes = ("float64", "float32")
    row = aligned(drawn(update, dtypes, [CHUNK]))[0]
    chunk = 3 * 2**20
    addresses = [[a.ctypes.data - chunk * CHUNK * a.itemsize] for a in row]
    walk = Walk(update, dtypes, True, [row])
    (expected,) = walk.expected()
    sizes = np.array([(chunk + 1) * CHUNK])
    walk.launch(np.array(addresses, np.int64), sizes, np.array([[0, chunk]], np.int32))
    assert_same_bits(row[0], expected[0])


# --- the codecs: -0.0 - (-1.0 * g) is g, bit for bit --------------------------------------------


def copied(grad, dtype, compute="float32"):
    """What a parameter holds after it was given the gradient's values."""
    update = update_of("gradient_descent", stages=False)
    minus_one = np.array([[-1.0]], compute)
    start = values("zero", grad.shape, dtype)
    start[...] = -0.0
    rows = aligned([[start, grad]])
    Walk(update, (dtype, str(grad.dtype)), True, rows, minus_one).run()
    return rows[0][0]


def floats(dtype):
    """Values of a 16-bit type, the middles between them, and their neighbours."""
    bits = np.arange(2**16, dtype=np.uint16)
    with np.errstate(all="ignore"):
        exact = bits.view(values("zero", (1,), dtype).dtype).astype(np.float32)
        middle = exact + (np.roll(exact, -1) - exact) / 2
        near = [np.nextafter(middle, np.float32(end)) for end in (-np.inf, np.inf)]
    drawn_bits = np.random.default_rng(8).integers(0, 2**32, 2**16, np.uint32)
    return np.concatenate([exact, middle, *near, drawn_bits.view(np.float32)])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_pattern_is_decoded(dtype):
    grad = np.arange(2**16, dtype=np.uint16).view(values("zero", (1,), dtype).dtype)
    with np.errstate(all="ignore"):
        assert_same_bits(copied(grad, "float32"), grad.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_encoding_rounds_to_nearest_ties_to_even(dtype):
    grad = floats(dtype)
    with np.errstate(all="ignore"):
        assert_same_bits(copied(grad, dtype), grad.astype(values("zero", (1,), dtype).dtype))


def test_a_nan_of_bfloat16_is_the_canonical_one():
    grad = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFF8000, 0x7F808000] * 3, np.uint32)
    after = copied(grad.view(np.float32), "bfloat16")
    assert set(after.view(np.uint16).tolist()) == {0x7FC0}


@pytest.mark.parametrize(("dtype", "tie"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_float64_goes_to_16_bits_by_way_of_float32(dtype, tie):
    update = update_of("momentum", stages=False)
    row = [np.zeros(9), np.full(9, 1.0 + tie + 2.0**-40), values("zero", (9,), dtype)]
    (row,) = aligned([row])
    Walk(update, ("float64", "float64", dtype), True, [row], np.ones((1, 2))).run()
    assert row[2].astype(float).tolist() == [1.0] * 9
