"""The combined partials of a device's tables, which determine the norm and skipping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import DECIDES, FIRST, LAST, Launch, Memory, TotalKernel
from .device_table import DeviceTable
from .table import PARTIALS, Update


class DeviceTotal:
    """The combined partials of the tables of one device, and whether they skip the step.

    Only the methods named ``read`` synchronize.

    Attributes:
        squares: one float64 on the device, the sum of squares.
        skip: one float32 on the device; unless it is 0, the tables skip the step.
    """

    def __init__(self, memory: Memory, total: TotalKernel) -> None:
        """Allocate the total; no step has been skipped.

        Args:
            memory: the memory of the device.
            total: compiles the kernel that adds partials to a total.
        """
        self._memory, self._kernel = memory, total
        with memory.current():
            self._total = memory.upload(np.zeros((1, len(PARTIALS))))
            self._skipped = memory.upload(np.zeros((1, 1), np.int64))
            self._given, self._go, self.skip = (
                memory.upload(np.zeros((1, 1), np.float32)) for _ in range(3)
            )
            memory.copy_number(self._given, 0, 0, self._go)  # compile now, not during a capture
        self.squares = self._total[:1, :1]
        self._may_be_given = False
        self._gathered: dict[int, tuple[Any, Launch]] = {}
        self._launches: dict[tuple[Any, ...], tuple[Launch, ...]] = {}

    def measure(
        self, tables: Sequence[DeviceTable], update: Update, skip: Any, decide: bool
    ) -> None:
        """Combine the partials of a value in all tables.

        Args:
            tables: the tables, whose steps have begun.
            update: an update that watches one value, and writes nothing.
            skip: a one-element float array on the device; unless it is 0, the step is skipped.
            decide: whether a nonfinite value also skips the step.
        """
        with self._memory.current():
            self._begin(skip)
            parts = [table.measure(update) for table in tables]
            for launch in self._adding(tables, parts, decide):
                launch()

    def add_up(self, totals: Sequence[DeviceTotal], skip: Any, decide: bool) -> None:
        """Combine other totals of the device; ``skip`` and ``decide`` as in `measure`."""
        with self._memory.current():
            self._begin(skip)
            parts = [(total._total, 1) for total in totals]
            for launch in self._adding(totals, parts, decide):
                launch()

    def gather(self, all_gather: Callable[[Any, Any], None], count: int) -> None:
        """Combine the same total of several processes.

        Args:
            all_gather: writes the second array of each process into a row of the first.
            count: the number of processes.
        """
        memory = self._memory
        with memory.current():
            if count not in self._gathered:
                rows = memory.upload(np.zeros((count, len(PARTIALS))))
                memory.hold((rows,))
                own = (self._given, self._total, self.skip, self._skipped)
                self._gathered[count] = rows, self._kernel((rows, *own, count, FIRST))
            rows, launch = self._gathered[count]
            all_gather(rows, self._total)
            launch()

    def _begin(self, skip: Any) -> None:
        memory = self._memory
        captured = memory.hold((self._total, self._skipped, self._given, self._go, self.skip))
        self._may_be_given |= captured or skip is not None
        if self._may_be_given:
            memory.copy_number(self._given, 0, 0, self._go if skip is None else skip)

    def _adding(
        self,
        sources: Sequence[DeviceTable | DeviceTotal],
        parts: Sequence[tuple[Any, int]],
        decide: bool,
    ) -> tuple[Launch, ...]:
        key = (*sources, decide)
        if key not in self._launches:
            parts = parts or [(self._total, 0)]
            last = len(parts) - 1
            own = (self._given, self._total, self.skip, self._skipped)
            self._launches = {
                key: tuple(
                    self._kernel((partials, *own, n, _how(i == 0, i == last, decide)))
                    for i, (partials, n) in enumerate(parts)
                )
            }
        return self._launches[key]

    def read(self) -> npt.NDArray[np.float64]:
        """Return the combined partials, see `PARTIALS`; synchronizes."""
        with self._memory.current():
            total: npt.NDArray[np.float64] = self._memory.read(self._total)[0]
            return total

    def read_skip(self) -> bool:
        """Return whether the last step was skipped; synchronizes."""
        with self._memory.current():
            return bool(self._memory.read(self.skip)[0, 0])

    def read_skipped(self) -> int:
        """Return the number of skipped steps; synchronizes."""
        with self._memory.current():
            return int(self._memory.read(self._skipped)[0, 0])


def _how(first: bool, last: bool, decide: bool) -> int:
    return FIRST * first + LAST * last + DECIDES * (last and decide)
