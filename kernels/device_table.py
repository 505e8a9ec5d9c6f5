"""A table in device memory: what is copied there, and the launches of a step.

This is the same for all that runs on a device. A `Memory` says how arrays get there and in which
stream, `Kernels` how its kernels are launched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .table import PARTIALS, Table, Update

FIRST, LAST, DECIDES = 1, 2, 4
"""What `multi_tensor_total` is told: see `Total`."""

READY = 4
"""Steps that can be captured in graphs between two ordinary ones: each keeps pinned memory."""


class StagingPool:
    """Blocks of pinned memory for graphs: none can be asked for while one is captured.

    A block that is taken belongs to its graph, which copies from it at every replay.

    Attributes:
        ready: the blocks that captures may take.
        taken: those that graphs copy from.
    """

    def __init__(self, new: Callable[[], Any]) -> None:
        """Fill it; ``new`` returns another block."""
        self._new = new
        self.ready: list[Any] = []
        self.taken: list[Any] = []
        self.fill()

    def fill(self) -> None:
        """Have as many ready as captures may take."""
        while len(self.ready) < READY:
            self.ready.append(self._new())

    def take(self) -> Any:
        """Return a block for a graph.

        Raises:
            RuntimeError: there is none left.
        """
        if not self.ready:
            raise RuntimeError(
                f"more than {READY} steps were captured since the last ordinary step: "
                "take one between"
            )
        self.taken.append(self.ready.pop())
        return self.taken[-1]


class StagedArray(Protocol):
    """A device array that the host rewrites now and then, without waiting."""

    @property
    def array(self) -> Any:
        """The device array."""

    def send(self, values: npt.NDArray[Any]) -> None:
        """Make it hold ``values``, in the order of the current stream."""


class Memory(Protocol):
    """The memory of one device, in the stream of one library."""

    def current(self) -> AbstractContextManager[Any]:
        """Make the device and the stream those that everything below goes to."""

    def upload(self, values: npt.NDArray[Any]) -> Any:
        """Return a device copy of ``values``."""

    def staged(self, values: npt.NDArray[Any]) -> StagedArray:
        """Return a device copy of ``values`` that can be rewritten."""

    def read(self, array: Any) -> npt.NDArray[Any]:
        """Return a copy on the host; waits for the device."""

    def hold(self, arrays: Sequence[Any]) -> bool:
        """Let nobody else have the memory of these while work of the current stream uses it.

        Returns:
            Whether that work is being captured in a graph, and may be done at any time.
        """

    def copy_number(self, array: Any, rows: int | slice, column: int, number: Any) -> None:
        """Copy an array of one float of this device to places of another, without waiting."""


Launch = Callable[[], None]


class Kernels(Protocol):
    """The compiled kernels of one table."""

    def coefficients(self, arguments: tuple[Any, ...]) -> Launch:
        """Return what counts the steps and computes the coefficients.

        Args:
            arguments: addresses, steps, carried, groups, options, coefficients, skip and the
                number of tensors.
        """

    def walk(
        self, update: Update, dtypes: tuple[str, ...], arguments: tuple[Any, ...], n_chunks: int
    ) -> Launch:
        """Return what applies an update to the elements.

        Args:
            update: the table's own, or one of its first lists.
            dtypes: of the lists of the update.
            arguments: addresses, sizes, chunks, coefficients, skip, partials and the number of
                tensors.
            n_chunks: at least one.
        """


Total = Callable[[tuple[Any, ...]], Launch]
"""Returns what adds the partials of a table to a total.

It takes the partials, what is given to skip the step, the total, what tells tables to skip it,
how many were skipped, the number of rows of partials, and a sum of these: `FIRST`, nothing was
added before; `LAST`, nothing follows, and what tells tables to skip is written, and counted if
it does; `DECIDES`, a gradient that is not finite skips the step, too.
"""


class DeviceTable:
    """A table in device memory, with the step counts and the options of its tensors.

    Nothing here waits for the device, but what reads.

    Attributes:
        captured: whether a graph may read it, at any time from here on.
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
            memory: the device's.
            kernels: compiled for the table.
            table: the host's table.
            steps: updates that each tensor of the table has had.
            groups: the group of each.
            options: one row a group, in the order of the update's option names.
        """
        self._memory, self._kernels, self._table = memory, kernels, table
        self.captured = False
        with memory.current():
            self._addresses = memory.staged(table.addresses)
            self._options = memory.staged(options)
            self._steps = memory.upload(steps)
            self._carried = memory.upload(table.carried)
            self._partials = memory.upload(table.partials)
            owners, coefficients = memory.upload(groups), memory.upload(table.coefficients)
            sizes, chunks = memory.upload(table.sizes), memory.upload(table.chunks)
            self._skip, self._go = (memory.upload(np.zeros((1, 1), np.float32)) for _ in range(2))
        self._may_skip = False
        self._measured: Any = None
        self._measure: Launch | None = None
        addresses, count = self._addresses.array, len(table.sizes)
        results = coefficients, self._skip
        of_tensors = (addresses, self._steps, self._carried, owners, self._options.array, *results)
        self._of_elements = (addresses, sizes, chunks, coefficients)
        self._arrays: tuple[Any, ...] = (*of_tensors, sizes, chunks, self._partials, self._go)
        self._launches = [kernels.coefficients((*of_tensors, count))]
        if len(table.chunks):
            self._launches.append(self._walk(table.update, self._skip, self._partials))

    def _walk(self, update: Update, skip: Any, partials: Any) -> Launch:
        dtypes, count = self._table.dtypes[: len(update.lists)], len(self._table.sizes)
        arguments = (*self._of_elements, skip, partials, count)
        return self._kernels.walk(update, dtypes, arguments, len(self._table.chunks))

    def begin(self) -> bool:
        """Begin a step; return whether a graph is being captured, or has been."""
        with self._memory.current():
            self.captured |= self._memory.hold(self._arrays)
        return self.captured

    def send_addresses(self, addresses: npt.NDArray[np.int64]) -> None:
        """Tell the device where the arrays lie now."""
        with self._memory.current():
            self._addresses.send(addresses)

    def send_options(self, options: npt.NDArray[np.float64]) -> None:
        """Tell the device the groups' options."""
        with self._memory.current():
            self._options.send(options)

    def follow(self, groups: int | slice, option: int, number: Any) -> None:
        """Take an option of some groups from the device: at a replay, its value by then."""
        with self._memory.current():
            self._memory.copy_number(self._options.array, groups, option, number)

    def skip_if(self, number: Any) -> None:
        """Let the next step be none if a number on the device is not 0; None: let it be one."""
        if number is None and not (self._may_skip or self.captured):
            return  # it has never been told anything else
        with self._memory.current():
            self._memory.copy_number(self._skip, 0, 0, self._go if number is None else number)
        self._may_skip = number is not None

    def run(self) -> None:
        """Update every tensor that has a gradient."""
        with self._memory.current():
            for launch in self._launches:
                launch()

    def read_steps(self) -> npt.NDArray[np.int64]:
        """Return how many updates each tensor has had; waits for the device."""
        return self._read(self._steps)

    def read_carried(self) -> npt.NDArray[np.float64]:
        """Return what each tensor carries to its next step; waits for the device."""
        return self._read(self._carried)

    def measure(self, update: Update) -> tuple[Any, int]:
        """Apply an update that only watches, whatever is to be skipped.

        Returns:
            The partials of one thing that it watches, on the device, and how many rows these are.
        """
        table, memory = self._table, self._memory
        with memory.current():
            if self._measured is None:
                self._measured = memory.upload(np.zeros((len(table.chunks), 1, len(PARTIALS))))
                self._arrays = (*self._arrays, self._measured)
                memory.hold((self._measured,))
                if len(table.chunks):
                    self._measure = self._walk(update, self._go, self._measured)
            if self._measure is not None:
                self._measure()
        return self._measured, len(table.chunks)

    def read_partials(self) -> npt.NDArray[np.float64]:
        """Return what the last step watched; waits for the device."""
        return self._read(self._partials)

    def read_measured(self) -> npt.NDArray[np.float64]:
        """Return what `measure` watched last; waits for the device."""
        return self._read(self._measured)

    def _read(self, array: Any) -> npt.NDArray[Any]:
        with self._memory.current():
            return self._memory.read(array)


class DeviceTotal:
    """The partials of the tables of one device together, and whether they skip the step.

    Nothing here waits for the device, but what reads.

    Attributes:
        squares: one float64 on the device, the sum of squares.
        skip: one float32 on the device; unless it is 0, the step is to be none.
    """

    def __init__(self, memory: Memory, total: Total) -> None:
        """Nothing is known yet, and no step was skipped.

        Args:
            memory: the device's.
            total: returns what adds partials to it.
        """
        self._memory, self._kernel = memory, total
        with memory.current():
            self._total = memory.upload(np.zeros((1, len(PARTIALS))))
            self._skipped = memory.upload(np.zeros((1, 1), np.int64))
            self._given, self._go, self.skip = (
                memory.upload(np.zeros((1, 1), np.float32)) for _ in range(3)
            )
        self.squares = self._total[:1, :1]
        self._may_be_given = False
        self._gathered: dict[int, tuple[Any, Launch]] = {}
        self._launches: dict[tuple[Any, ...], tuple[Launch, ...]] = {}

    def measure(
        self, tables: Sequence[DeviceTable], update: Update, skip: Any, decide: bool
    ) -> None:
        """Add up what an update watches in all tables.

        Args:
            tables: those whose steps have begun.
            update: it only watches, one thing.
            skip: an array of one float on the device; unless it is 0, the step is to be none.
            decide: whether the step is to be none if something watched is not finite.
        """
        with self._memory.current():
            self._begin(skip)
            parts = [table.measure(update) for table in tables]
            for launch in self._adding(tables, parts, decide):
                launch()

    def add_up(self, totals: Sequence[DeviceTotal], skip: Any, decide: bool) -> None:
        """Be other totals of the device together; else as `measure`."""
        with self._memory.current():
            self._begin(skip)
            parts = [(total._total, 1) for total in totals]
            for launch in self._adding(totals, parts, decide):
                launch()

    def gather(self, all_gather: Callable[[Any, Any], None], count: int) -> None:
        """Be the same total of several processes together.

        Args:
            all_gather: writes into the first array the second of each process, row by row.
            count: how many processes they are.
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
        """Return the partials of all together, as `PARTIALS` says; waits for the device."""
        with self._memory.current():
            total: npt.NDArray[np.float64] = self._memory.read(self._total)[0]
            return total

    def read_skipped(self) -> int:
        """Return how many steps were skipped; waits for the device."""
        with self._memory.current():
            return int(self._memory.read(self._skipped)[0, 0])


def _how(first: bool, last: bool, decide: bool) -> int:
    return FIRST * first + LAST * last + DECIDES * (last and decide)
