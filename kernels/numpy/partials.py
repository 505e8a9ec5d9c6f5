"""Sums over values in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def partials_of(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the `kernels.table.PARTIALS` of values."""
    wide = values.astype(np.float64)
    largest = np.fmax.reduce(np.abs(wide), initial=0.0)
    return np.array([(wide * wide).sum(), largest, (~np.isfinite(wide)).sum()])
