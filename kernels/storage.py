"""Conversion between stored elements and the values in which a rule computes.

A rule computes in float32 (float64 for float64 parameters) for every storage dtype. Decoding is
exact; encoding rounds to nearest, ties to even. bfloat16 is stored as its bits in uint16, which
needs no extra package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

STORAGE: dict[str, np.dtype[Any]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "int16": np.dtype(np.int16),
}
"""The NumPy dtype that stores the elements of each dtype."""

INTEGERS = ("int8", "uint8", "int16")
"""The integer dtypes, for codes and for remainders of weights."""

BLOCK = 32
"""The number of consecutive elements, in memory order, that share a scale."""

LEAST_SCALE, NO_SCALE = np.float32(2.0**-120), np.float32(2.0**126)
"""The smallest scale, and the magnitude from which a block's scale is NaN. Thus all scales have
normal reciprocals."""


def compute_dtype(params: str) -> str:
    """Return the compute dtype for parameters of a dtype."""
    return "float64" if params == "float64" else "float32"


def decode_bfloat16(bits: Any) -> Any:
    """Return the float32 values of bfloat16 bits."""
    return (np.uint32(bits) << np.uint32(16)).view(np.float32)


def encode_bfloat16(values: Any) -> Any:
    """Return the bits of the nearest bfloat16 values; NaN stays NaN."""
    bits = values.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    return np.uint16(np.where(values == values, rounded, np.uint32(0x7FC0)))


def decode(stored: npt.NDArray[Any], dtype: str, compute: str) -> npt.NDArray[Any]:
    """Return stored elements as values of the dtype ``compute``."""
    values = decode_bfloat16(stored) if dtype == "bfloat16" else stored
    return values.astype(compute, copy=False)


def encode(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Return values as elements of the storage dtype.

    float64 is rounded to float32 before a 16-bit dtype, as in torch and on the GPU.
    """
    if dtype in ("float16", "bfloat16"):
        values = values.astype(np.float32, copy=False)
    return (
        encode_bfloat16(values)
        if dtype == "bfloat16"
        else values.astype(STORAGE[dtype], copy=False)
    )
