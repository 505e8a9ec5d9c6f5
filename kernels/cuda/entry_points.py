"""The launches of the kernels in `source`, for any compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from ..device import Launch
from ..table import Table, Update
from .source import (
    COEFFICIENTS,
    SUBTOTALS,
    SUMS,
    TOTAL,
    TOTAL_GEOMETRY,
    UPDATE,
    Geometry,
    coefficients_geometry,
    source,
    subtotals_geometry,
    sums_geometry,
    total_source,
    update_geometry,
)

Launcher = Callable[..., None]
"""Launches a kernel of a module, given its name, grid, block and arguments."""

Compiler = Callable[[str], Launcher]
"""Compiles a source text and returns its launcher."""

Address = Callable[[Any], int]
"""Returns the address of an array."""


class Kernels:
    """The kernels of a table, which take the addresses of arrays."""

    def __init__(self, compiler: Compiler, address: Address, table: Table) -> None:
        """Store the compiler, the function that returns addresses, and the table."""
        self._compiler, self._address, self._table = cache(compiler), address, table

    def coefficients(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that increments the steps and computes the coefficients."""
        table = self._table
        launch = self._compiler(source(table.update, table.dtypes, table.vectors))
        geometry = coefficients_geometry(arguments[-1])
        return _bound(launch, self._address, COEFFICIENTS, geometry, arguments, 1)

    def walk(
        self, update: Update, dtypes: tuple[str, ...], arguments: tuple[Any, ...], n_chunks: int
    ) -> Launch:
        """Return the launch that applies an update to the elements."""
        table = self._table
        wanted = (COEFFICIENTS, UPDATE) if update is table.update else (UPDATE,)
        launch = self._compiler(source(update, dtypes, table.vectors, wanted))
        return _bound(launch, self._address, UPDATE, update_geometry(n_chunks), arguments, 1)

    def subtotals(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that reduces many rows of partials to a few."""
        geometry = subtotals_geometry(arguments[-1])
        launch = self._compiler(total_source())
        return _bound(launch, self._address, SUBTOTALS, geometry, arguments, 1)

    def sums(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that reduces the sums of chunks to those of tensors."""
        geometry = sums_geometry(arguments[-1])
        launch = self._compiler(total_source())
        return _bound(launch, self._address, SUMS, geometry, arguments, 5)


def total(compiler: Compiler, address: Address, arguments: tuple[Any, ...]) -> Launch:
    """Return the launch that adds the partials of a table to a total."""
    return _bound(compiler(total_source()), address, TOTAL, TOTAL_GEOMETRY, arguments, 2)


def _bound(
    launch: Launcher,
    address: Address,
    name: str,
    geometry: Geometry,
    arguments: tuple[Any, ...],
    n_numbers: int,
) -> Launch:
    arrays, numbers = arguments[:-n_numbers], arguments[-n_numbers:]
    values = (*(np.uint64(address(array)) for array in arrays), *map(np.int64, numbers))
    return partial(launch, name, *geometry, values)
