"""The kernels of `cuda_c`, launched by whoever has compiled them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cuda_c import COEFFICIENTS, UPDATE, Geometry, coefficients_geometry, update_geometry
from .device_table import Launch


class Kernels:
    """Launches with their arguments; an array is passed as its address."""

    def __init__(self, launch: Callable[..., None], address: Callable[[Any], int]) -> None:
        """Take what launches.

        Args:
            launch: called with the name of a kernel, the grid, the block and the arguments.
            address: returns where an array lies.
        """
        self._launch, self._address = launch, address

    def coefficients(self, arguments: tuple[Any, ...]) -> Launch:
        """Return what counts the steps and computes the coefficients."""
        return self._bound(COEFFICIENTS, coefficients_geometry(arguments[-1]), arguments)

    def update(self, arguments: tuple[Any, ...], n_chunks: int) -> Launch:
        """Return what updates the elements."""
        return self._bound(UPDATE, update_geometry(n_chunks), arguments)

    def _bound(self, name: str, geometry: Geometry, arguments: tuple[Any, ...]) -> Launch:
        *arrays, count = arguments
        numbers = (*(np.uint64(self._address(array)) for array in arrays), np.int64(count))
        return partial(self._launch, name, *geometry, numbers)
