"""The scales of blocks of elements in the compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from .maths import jit, where


@jit
def spread(scales: Any, count: Any, block: Any, target: Any) -> None:
    """Write the scale of each of ``count`` elements, of which ``block`` share one."""
    for first in range(0, count, block):
        scale = scales[first // block]
        for i in range(first, min(first + block, count)):
            target[i] = scale


@jit
def measure(values: Any, count: Any, block: Any, scales: Any) -> None:
    """Write the largest absolute value of each block; NaN if there is one."""
    for first in range(0, count, block):
        largest = np.int32(0)
        for i in range(first, min(first + block, count)):
            bits = np.int32(np.float32(values[i]).view(np.int32) & np.int32(0x7FFFFFFF))
            largest = max(largest, bits)
        scale = np.int32(largest).view(np.float32)
        scales[first // block] = where(scale == scale, scale, np.float32(np.nan))
