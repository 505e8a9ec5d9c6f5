"""Values of every kind, from denormals to NaN, for each dtype."""

import zlib

import ml_dtypes
import numpy as np
from gpuopt.kernels.storage import INTEGERS

DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
"""The NumPy dtypes of gpuopt's dtypes."""

KINDS = ("ordinary", "denormal", "infinite", "nan", "huge", "zero", "tiny", "mixed")


def values(kind, shape, dtype, seed=0):
    """Return an array in C order of one kind of value; equal arguments give equal values."""
    rng = np.random.default_rng([zlib.crc32(f"{kind} {shape} {dtype}".encode()), seed])
    if dtype in INTEGERS:
        ends = np.iinfo(dtype)
        return rng.integers(ends.min + (ends.min < 0), ends.max + 1, shape).astype(dtype)
    drawn = _draw(rng, kind, shape, ml_dtypes.finfo(DTYPES[dtype]))
    with np.errstate(over="ignore"):
        return np.asarray(drawn).astype(DTYPES[dtype])


def _draw(rng, kind, shape, info):
    sign = rng.choice([-1.0, 1.0], shape)
    if kind == "ordinary":
        return rng.standard_normal(shape)
    if kind == "denormal":
        return sign * rng.integers(1, 100, shape) * float(info.smallest_subnormal)
    if kind == "infinite":
        return rng.choice([np.inf, -np.inf, 0.0, 1.0], shape)
    if kind == "nan":
        return rng.choice([np.nan, -1.0, 2.0], shape)
    if kind == "huge":
        return sign * rng.uniform(0.1, 1.0, shape) * float(info.max)
    if kind == "zero":
        return sign * 0.0
    if kind == "tiny":
        return sign * rng.uniform(1.0, 100.0, shape) * float(info.tiny)
    others = [_draw(rng, other, shape, info) for other in KINDS if other != "mixed"]
    return np.choose(rng.integers(0, len(others), shape), others)
