"""The quotient that GPUs compute without checks, on a device whose reciprocals are one unit off."""

from pathlib import Path

import numpy as np
import pytest
from gpuopt.kernels import roundings

from tests.helpers.exact import assert_same_bits

nvrtc = pytest.importorskip("tests.simgpu.nvrtc")

ELEMENTS = Path(roundings.__file__).parent / "cuda" / "elements.cuh"
KERNEL = """
extern "C" __global__ void __launch_bounds__(256) one(const float* a, const float* b, float* result)
{
    const int64 i = (int64)blockIdx.x * 256 + threadIdx.x;
    result[i] = quotient(a[i], b[i]);
}
"""
THREADS = 256


def on_the_device(a, b):
    module = nvrtc.Module(ELEMENTS.read_text() + KERNEL)
    padded = [np.resize(x, -(-len(x) // THREADS) * THREADS) for x in (a, b)]
    result = np.empty_like(padded[0])
    module.launch("one", (len(result) // THREADS,), (THREADS,), [*padded, result])
    return result[: len(a)]


def mantissas(draw, count):
    """Numbers in [1, 2), and many of those that are hard to divide by."""
    hard = np.arange(64, dtype=np.uint32)
    bits = np.concatenate([hard, 0x7FFFFF - hard, draw.integers(0, 1 << 23, count, np.uint32)])
    return (bits | 0x3F800000).view(np.float32)


@pytest.mark.parametrize("exponent", [-120, -60, -1, 0, 1, 60, 125])
def test_it_is_rounded_exactly(exponent):
    draw = np.random.default_rng(exponent + 200)
    b = np.ldexp(mantissas(draw, 40_000), exponent)
    exponents = draw.integers(max(-80, exponent - 119), 8, len(b))
    a = np.ldexp(draw.permutation(mantissas(draw, 40_000)), exponents)
    a *= draw.choice(np.float32([1, -1]), len(b))
    if exponent == -120:
        a = np.where(exponents < 7, a, np.float32(255))  # or the quotient is infinite
    assert_same_bits(on_the_device(a, b), np.divide(a, b))


def test_every_code_of_softsign8_is_decoded_exactly():
    code = np.arange(-128, 128, dtype=np.float32)
    b = np.float32(254) - np.abs(code)
    assert_same_bits(on_the_device(code, b) + np.float32(0), np.divide(code, b))


def test_what_is_small_stays_small_and_nan_stays_nan():
    a = np.array([0, 1e-44, -1e-40, 1e-38, np.nan, 1], np.float32)
    b = np.array([1, 1.5, 1.5, 100, 1, np.nan], np.float32)
    result = on_the_device(a, b)
    assert np.all(np.abs(result[:4]) < 2.0**-100) and np.isnan(result[4:]).all()
