"""Sums over values in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def partials_of(values: npt.NDArray[Any], plain: bool = False) -> npt.NDArray[np.float64]:
    """Return the `kernels.table.PARTIALS` of values; if ``plain``, only their sum."""
    wide = values.astype(np.float64)
    if plain:
        return np.array([wide.sum(), 0.0, 0.0])
    largest = np.fmax.reduce(np.abs(wide), initial=0.0)
    return np.array([(wide * wide).sum(), largest, (~np.isfinite(wide)).sum()])
