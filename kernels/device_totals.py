"""Totals: sums over all tensors of the tables of a device, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import Launch
from .device_table import DeviceTable
from .table import SUBTOTAL_ROWS, layout_of_subtotals, layout_of_totals


class DeviceTotals:
    """The totals of the tables of one device.

    Each table reduces its chunks to subtotals, and the first table adds the subtotals of all. Only
    `read` synchronizes.
    """

    def __init__(
        self, tables: Sequence[DeviceTable], n_totals: int, into: DeviceTable | None = None
    ) -> None:
        """Compile the kernels.

        Args:
            tables: at least one.
            n_totals: the number of totals.
            into: the table that gets the totals, as the last carried numbers of its only tensor.
        """
        self._tables, self._n = tables, n_totals
        self._memory, self._kernels = tables[0]._memory, tables[0]._kernels
        with self._memory.current():
            own = (
                self._memory.upload(np.zeros((1, n_totals)))
                if into is None
                else into._carried.array
            )
            self._totals = own
            self._launches = self._prepare()
        tables[0].hold_also(self._arrays)

    def _prepare(self) -> list[Launch]:
        memory, n, launches = self._memory, self._n, []
        rows = [-(-len(table._table.chunks) // SUBTOTAL_ROWS) for table in self._tables]
        subtotals = memory.upload(np.zeros((max(sum(rows), 1), n)))
        self._arrays: tuple[Any, ...] = (subtotals,)
        begin = 0
        for table, count in zip(self._tables, rows):
            if count:
                own = subtotals[begin : begin + count]
                launches.append(self._adding(table, count, own))
                begin += count
        ends = memory.upload(np.array([0, sum(rows)], np.int64))
        self._arrays = (*self._arrays, ends, self._totals)
        layout = layout_of_totals(n, int(self._totals.shape[1]))
        launches.append(self._kernels.sums((subtotals, ends, self._totals, *layout, 1)))
        return launches

    def _adding(self, table: DeviceTable, count: int, into: Any) -> Launch:
        """Return the launch that reduces the chunks of a table to subtotals."""
        n_chunks = len(table._table.chunks)
        firsts = np.minimum(np.arange(count + 1) * SUBTOTAL_ROWS, n_chunks).astype(np.int64)
        starts, partials = self._memory.upload(firsts), table._total_partials
        self._arrays = (*self._arrays, starts)
        layout = layout_of_subtotals(self._n, int(partials.shape[1]))
        return self._kernels.sums((partials, starts, into, *layout, count))

    def add_up(self) -> None:
        """Add up the results of the tables' last pass."""
        with self._memory.current():
            for launch in self._launches:
                launch()

    def read(self) -> npt.NDArray[np.float64]:
        """Return the totals; synchronizes."""
        with self._memory.current():
            found: npt.NDArray[np.float64] = self._memory.read(self._totals)[0, -self._n :]
            return found
