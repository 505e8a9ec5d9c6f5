"""A table in device memory: the host's arrays copied there, and the launches of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import Kernels, Launch, Memory
from .table import PARTIALS, SUBTOTAL_ROWS, Table, Update, layout_of_sums


class DeviceTable:
    """A table in device memory, with the step counts and the options of its tensors.

    Only the methods that read wait for the device.

    Attributes:
        captured: whether a graph was captured that may read the table at any time.
    """

    captured: bool

    def __init__(
        self,
        memory: Memory,
        kernels: Kernels,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Copy everything to the device.

        Args:
            memory: of the device.
            kernels: compiled for the table.
            table: the host's table.
            steps: updates that each tensor of the table has had.
            groups: the group of each tensor.
            options: one row for each group, in the order of the update's option names.
        """
        self._memory, self._kernels, self._table = memory, kernels, table
        self.captured = False
        with memory.current():
            self._addresses = memory.staged(table.addresses)
            self._options = memory.staged(options)
            self._steps = memory.upload(steps)
            self._carried = memory.staged(table.carried)
            self._partials = memory.upload(table.partials)
            owners, coefficients = memory.upload(groups), memory.upload(table.coefficients)
            sizes, chunks = memory.upload(table.sizes), memory.upload(table.chunks)
            self._skip, self._go = (memory.upload(np.zeros((1, 1), np.float32)) for _ in range(2))
            memory.copy_number(self._skip, 0, 0, self._go)  # compiled now, not while capturing
        self._may_skip = False
        self._measured: Any = None
        self._numbers: Any = None
        self._subtotals: Any = None
        self._measuring: list[Launch] = []
        addresses, count = self._addresses.array, len(table.sizes)
        results = coefficients, self._skip
        carried = self._carried.array
        of_tensors = (addresses, self._steps, carried, owners, self._options.array, *results)
        self._of_elements = (addresses, sizes, chunks, coefficients)
        self._arrays: tuple[Any, ...] = (*of_tensors, sizes, chunks, self._partials, self._go)
        with memory.current():  # kernels are compiled and loaded for the current device
            summing = self._summing(table, of_tensors)
            self._total_partials, self._totalling = self._before_totals(table, of_tensors)
            self._launches = [kernels.coefficients((*of_tensors, count))]
            if len(table.chunks):
                self._launches.append(self._walk(table.update, self._skip, self._partials))
        self._all_launches = [*summing, *self._launches]
        self._sums_are_known = False

    def _summing(self, table: Table, of_tensors: tuple[Any, ...]) -> list[Launch]:
        """Return the launches that find the sums of tensors that coefficients depend on, if any."""
        sums, memory, count = table.update.sums, self._memory, len(table.sizes)
        if sums is None or not len(table.chunks):
            return []
        partials, launches = self._in_front(sums, table, of_tensors)
        firsts = np.searchsorted(table.chunks[:, 0], np.arange(count + 1)).astype(np.int64)
        starts = memory.upload(firsts)
        self._arrays = (*self._arrays, starts)
        arrays = partials, starts, of_tensors[2]
        return [*launches, self._kernels.sums((*arrays, *layout_of_sums(table.update), count))]

    def _before_totals(self, table: Table, of_tensors: tuple[Any, ...]) -> tuple[Any, list[Launch]]:
        """Return the partials that totals are made of, and the launches of a pass for them."""
        if table.update.totals is None or not len(table.chunks):
            return self._partials, []  # those of the update, if any
        return self._in_front(table.update.totals, table, of_tensors)

    def _in_front(
        self, sums: Update, table: Table, of_tensors: tuple[Any, ...]
    ) -> tuple[Any, list[Launch]]:
        """Return the partials of a pass in front of the update, and its launches.

        The coefficients of that pass come from steps and carried numbers of its own, which the same
        kernel counts: those that depend on the sums are not used yet.
        """
        memory, count = self._memory, len(table.sizes)
        addresses, steps, carried, *others = of_tensors
        own = memory.upload(memory.read(steps)), memory.upload(memory.read(carried))
        n_sums = len(sums.watched_names)
        partials = memory.upload(np.zeros((len(table.chunks), n_sums, len(PARTIALS))))
        self._arrays = (*self._arrays, *own, partials)
        return partials, [
            self._kernels.coefficients((addresses, *own, *others, count)),
            self._walk(sums, self._skip, partials),
        ]

    def _walk(self, update: Update, skip: Any, partials: Any) -> Launch:
        dtypes, count = self._table.dtypes[: len(update.lists)], len(self._table.sizes)
        arguments = (*self._of_elements, skip, partials, count)
        return self._kernels.walk(update, dtypes, arguments, len(self._table.chunks))

    def hold_also(self, arrays: Sequence[Any]) -> None:
        """Let each step hold these arrays as the table's own; see `Memory.hold`."""
        self._arrays = (*self._arrays, *arrays)

    def begin(self) -> bool:
        """Begin a step; return whether this or an earlier one is captured in a graph."""
        with self._memory.current():
            self.captured |= self._memory.hold(self._arrays)
        return self.captured

    def send_addresses(self, addresses: npt.NDArray[np.int64]) -> None:
        """Send the device the addresses of the arrays."""
        with self._memory.current():
            self._addresses.send(addresses)

    def send_options(self, options: npt.NDArray[np.float64]) -> None:
        """Send the device the options of the groups."""
        with self._memory.current():
            self._options.send(options)

    def follow(self, groups: int | slice, option: int, number: Any) -> None:
        """Copy an option of some groups from a device array; a replay copies its value again."""
        with self._memory.current():
            self._memory.copy_number(self._options.array, groups, option, number)

    def send_numbers(self, columns: Sequence[int], numbers: Sequence[float], groups: Any) -> None:
        """Send the device options that all groups share, without the others.

        Args:
            columns: of the options.
            numbers: their values.
            groups: the index of all rows.
        """
        with self._memory.current():
            values = np.array([numbers], np.float64)
            if self._numbers is None or self._numbers.array.shape != values.shape:
                self._numbers = self._memory.staged(values)
                self._arrays = (*self._arrays, self._numbers.array)
            else:
                self._numbers.send(values)
            for k, column in enumerate(columns):
                number = self._numbers.array[:1, k : k + 1]
                self._memory.copy_number(self._options.array, groups, column, number)

    def number(self, column: int) -> Any:
        """Return the memory of a carried number of the first tensor, for `follow`."""
        return self._carried.array[:1, column : column + 1]

    def skip_if(self, number: Any) -> None:
        """Skip the next step if a number on the device is not 0; None: do not skip it."""
        if number is None and not (self._may_skip or self.captured):
            return  # the device still holds the 0 of the beginning
        with self._memory.current():
            self._memory.copy_number(self._skip, 0, 0, self._go if number is None else number)
        self._may_skip = number is not None

    def total_up(self) -> None:
        """Find what totals are made of, if a pass in front of the update does."""
        with self._memory.current():
            for launch in self._totalling:
                launch()

    def run(self) -> None:
        """Update every tensor that has a gradient."""
        with self._memory.current():
            for launch in self._launches if self._sums_are_known else self._all_launches:
                launch()
        self._sums_are_known = False

    def read_sums(self) -> npt.NDArray[np.float64]:
        """Find the sums that the next `run` needs, and return the carried numbers; waits."""
        with self._memory.current():
            for launch in self._all_launches[: -len(self._launches)]:
                launch()
        self._sums_are_known = True
        return self.read_carried()

    def send_carried(self, carried: npt.NDArray[np.float64]) -> None:
        """Send the device the carried numbers of its tensors."""
        with self._memory.current():
            self._carried.send(carried)

    def read_steps(self) -> npt.NDArray[np.int64]:
        """Return how many updates each tensor has had; waits for the device."""
        return self._read(self._steps)

    def read_carried(self) -> npt.NDArray[np.float64]:
        """Return the carried numbers of each tensor; waits for the device."""
        return self._read(self._carried.array)

    def measure(self, update: Update) -> tuple[Any, int]:
        """Apply an update that watches one value and writes nothing, also in a skipped step.

        Returns:
            Partials on the device that remain to be added, and the number of their rows: those of
            the chunks, or if these are many, their subtotals.
        """
        with self._memory.current():
            if self._measured is None:
                self._prepare_measure(update)
            for launch in self._measuring:
                launch()
        return self._subtotals, int(self._subtotals.shape[0])

    def _prepare_measure(self, update: Update) -> None:
        memory, n_rows = self._memory, len(self._table.chunks)
        self._measured = self._subtotals = memory.upload(np.zeros((n_rows, 1, len(PARTIALS))))
        if n_rows:
            self._measuring.append(self._walk(update, self._go, self._measured))
        if n_rows > SUBTOTAL_ROWS:
            shape = (-(-n_rows // SUBTOTAL_ROWS), 1, len(PARTIALS))
            self._subtotals = memory.upload(np.zeros(shape))
            arguments = (self._measured, self._subtotals, n_rows)
            self._measuring.append(self._kernels.subtotals(arguments))
        made = (self._measured, self._subtotals)
        self._arrays = (*self._arrays, *made)
        memory.hold(made)

    def read_partials(self) -> npt.NDArray[np.float64]:
        """Return the partials of the last step; waits for the device."""
        return self._read(self._partials)

    def read_measured(self) -> npt.NDArray[np.float64]:
        """Return the partials of the last `measure`; waits for the device."""
        return self._read(self._measured)

    def _read(self, array: Any) -> npt.NDArray[Any]:
        with self._memory.current():
            return self._memory.read(array)
