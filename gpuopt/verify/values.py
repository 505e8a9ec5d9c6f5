"""What the checks compute with: sizes around every boundary, and values of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.storage import encode

Array = npt.NDArray[Any]

SIZES = (0, 1, 7, 8191, 8192, 8193, 100_003)
"""Elements of the tensors of a check: none, one, and a chunk of 8,192, less one and more one."""

_HOSTILE = (np.nan, np.inf, -np.inf, 0.0, -0.0)

_LIMITS = {
    "float64": (5e-324, 1.7e308),
    "float32": (1.4e-45, 3.4e38),
    "float16": (6e-8, 6.5e4),
    "bfloat16": (9.2e-41, 3.3e38),
}
"""The smallest denormal of each dtype, and a number next to its largest."""


def hostile(seed: int, dtype: str, extra: int = 0) -> list[Array]:
    """Return an array of each size, as its dtype is stored: ordinary values and hostile ones.

    The second to last is full of infinities, NaN, huge and denormal numbers; the others have some.

    Args:
        seed: equal arguments give equal values.
        dtype: of gpuopt.
        extra: elements beyond each size.
    """
    rng = np.random.default_rng(seed)
    smallest, largest = _LIMITS[dtype]
    strange = np.array([*_HOSTILE, smallest, -9 * smallest, largest, -largest])
    made = []
    for i, size in enumerate(SIZES):
        values = rng.standard_normal(size + extra)
        every = 1 if i == len(SIZES) - 2 else 7 if size < 100 else 97
        values[::every] = rng.choice(strange, len(values[::every]))
        made.append(stored(values, dtype))
    return made


def tame(
    seed: int, dtype: str, extra: int = 0, infinite: int | None = None, of_one_sign: bool = False
) -> list[Array]:
    """Return an array of each size, of values whose squares add up exactly, in any order.

    They are multiples of 1/32 below 8, which 16 bits hold, too; a sum of 130,000 squares is a
    multiple of 1/1024 below 2**24, which float64 holds.

    Args:
        seed: equal arguments give equal values.
        dtype: of gpuopt.
        extra: elements beyond each size.
        infinite: the number of an array whose last element is infinite.
        of_one_sign: whether none is negative.
    """
    rng = np.random.default_rng(seed)
    made = [rng.integers(-255, 256, size + extra) / 32.0 for size in SIZES]
    if of_one_sign:
        made = [np.abs(values) for values in made]
    if infinite is not None:
        made[infinite][-1] = np.inf
    return [stored(values, dtype) for values in made]


def stored(values: Array, dtype: str) -> Array:
    """Return float64 values as elements of a dtype, bfloat16 as uint16."""
    with np.errstate(over="ignore"):
        return encode(values.astype("float64" if dtype == "float64" else "float32"), dtype)
