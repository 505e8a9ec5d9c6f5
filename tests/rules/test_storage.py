"""bfloat16 and float16 in memory: every bit pattern, and every way in which float32 rounds."""

import ml_dtypes
import numpy as np
import pytest
from gpuopt.kernels.storage import STORAGE, compute_dtype, decode, encode

from gpuopt import RULES
from tests.helpers.backends import on_cpu
from tests.helpers.bits import assert_same_bits
from tests.rules.oracles import by_rule

PATTERNS = np.arange(2**16, dtype=np.uint16)
NUMPY = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
"""The 16-bit types as NumPy types."""


def stored(dtype):
    """Every bit pattern, as gpuopt holds a dtype."""
    return PATTERNS.view(STORAGE[dtype])


@pytest.fixture(autouse=True)
def quietly():
    """NumPy warns of overflow and of NaN, which is what these tests are about."""
    with np.errstate(all="ignore"):
        yield


def between(dtype):
    """Every value of a 16-bit type, every middle of two, and the float32 just beside each."""
    wide = np.unique(stored(dtype).view(NUMPY[dtype]).astype(np.float64))
    wide = wide[np.isfinite(wide)]
    middles = (wide[1:] + wide[:-1]) / 2
    f = np.concatenate([wide, middles]).astype(np.float32)
    return np.concatenate([f, np.nextafter(f, np.float32(np.inf)), np.nextafter(f, -f)])


def hostile():
    """float32 values for which codecs go wrong: overflow, denormals, NaN of every kind."""
    edges = [0, 1, 2**-149, 2**-126, 2**-133, 2**-134, 2**-24, 2**-25, 65504, 65519.996, 65520]
    edges += [65536, 3.3895314e38, 3.3961775e38, 3.4028235e38, np.inf]
    nans = [0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x7F808000, 0x7FFF8000]
    positive = np.concatenate([np.array(edges, np.float32), np.array(nans, "u4").view("f4")])
    return np.concatenate([positive, -positive])


def every_float32(dtype):
    drawn = np.random.default_rng(8).integers(0, 2**32, 50_000, np.uint32).view(np.float32)
    return np.concatenate([between(dtype), hostile(), drawn])


def nearest(values, dtype):
    """The nearest value of a 16-bit type, ties to even, found in the list of all of them."""
    positive = PATTERNS[:0x8000].view(NUMPY[dtype])
    finite = int(np.isfinite(positive).sum())
    table = positive[:finite].astype(np.float64)
    table = np.append(table, 2 * table[-1] - table[-2])  # where the next one would be: infinity
    size = np.abs(values.astype(np.float64))
    above = np.clip(np.searchsorted(table, size), 1, finite)
    below = above - 1
    up, down = table[above] - size, size - table[below]
    pattern = np.where((up < down) | ((up == down) & (above % 2 == 0)), above, below)
    pattern = np.where(size >= table[-1], finite, pattern) | np.where(np.signbit(values), 2**15, 0)
    found = pattern.astype(np.uint16).view(NUMPY[dtype])
    return np.where(np.isnan(values), NUMPY[dtype].type(np.nan), found)


@pytest.mark.parametrize("dtype", NUMPY)
def test_the_oracles_agree(dtype):
    """The list of all values, and the conversion of NumPy or ml_dtypes."""
    values = every_float32(dtype)
    assert_same_bits(values.astype(NUMPY[dtype]), nearest(values, dtype))


# --- the codec ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("dtype", NUMPY)
def test_every_pattern_is_decoded(dtype, compute):
    expected = stored(dtype).view(NUMPY[dtype]).astype(compute)
    assert_same_bits(decode(stored(dtype), dtype, compute), expected)


@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("dtype", NUMPY)
def test_every_pattern_survives(dtype, compute):
    back = encode(decode(stored(dtype), dtype, compute), dtype)
    assert back.dtype == STORAGE[dtype]
    assert_same_bits(back.view(NUMPY[dtype]), stored(dtype).view(NUMPY[dtype]))


@pytest.mark.parametrize("dtype", NUMPY)
def test_encoding_rounds_to_nearest_ties_to_even(dtype):
    values = every_float32(dtype)
    encoded = encode(values, dtype)
    assert encoded.dtype == STORAGE[dtype]
    assert_same_bits(encoded.view(NUMPY[dtype]), nearest(values, dtype))


def test_a_nan_of_bfloat16_is_the_canonical_one():
    """Rounding the bits of a NaN would carry into the exponent, or make it infinite."""
    nans = hostile()[np.isnan(hostile())]
    assert len(nans) == 10
    assert set(encode(nans, "bfloat16").tolist()) == {0x7FC0}


TWICE = 1 + 2.0**-11 + 2.0**-40  # above a middle of float16; in float32 it is the middle
"""Rounded to float16 at once: 1 + 2**-10. By way of float32: 1."""
TWICE_BFLOAT16 = 1 + 2.0**-8 + 2.0**-40


@pytest.mark.parametrize(
    ("dtype", "value"), [("float16", TWICE), ("bfloat16", TWICE_BFLOAT16)], ids=list(NUMPY)
)
def test_float64_goes_by_way_of_float32(dtype, value):
    encoded = encode(np.array([value, -value]), dtype).view(NUMPY[dtype])
    assert encoded.astype(float).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_held_as_it_is_computed_is_not_touched(dtype):
    values = np.array([1.5, np.nan, -0.0], dtype)
    assert decode(values, dtype, dtype) is values
    assert encode(values, dtype) is values


@pytest.mark.parametrize("dtype", STORAGE)
def test_only_float64_is_computed_in_float64(dtype):
    assert compute_dtype(dtype) == ("float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("dtype", NUMPY)
def test_sixteen_bits_are_sixteen_bits(dtype):
    assert STORAGE[dtype].itemsize == NUMPY[dtype].itemsize == 2


# --- the codec inside each backend --------------------------------------------------------------
# -0.0 - (-1.0 * g) is g, bit for bit: a step of gradient descent with lr = -1 copies the gradient.


def copied(gradients, dtype, backend):
    """What a parameter of a dtype holds after it was given the gradients' values."""
    start = np.full(gradients.shape, -0.0).astype(dtype)
    after, _ = by_rule(RULES["gradient_descent"], start, [gradients], {"lr": -1.0}, backend)
    return after


@pytest.mark.parametrize("backend", on_cpu())
@pytest.mark.parametrize("dtype", NUMPY)
def test_a_backend_decodes_every_pattern(dtype, backend):
    gradients = stored(dtype).view(NUMPY[dtype])
    assert_same_bits(copied(gradients, "float32", backend), gradients.astype("float32"))


@pytest.mark.parametrize("backend", on_cpu())
@pytest.mark.parametrize("dtype", NUMPY)
def test_a_backend_encodes_to_nearest(dtype, backend):
    values = every_float32(dtype)
    assert_same_bits(copied(values, NUMPY[dtype], backend), nearest(values, dtype))
