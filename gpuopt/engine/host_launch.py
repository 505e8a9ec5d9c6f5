"""A launch of a table on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.table import PARTIALS, combine_partials, partials_of_tensors
from ..kernels.thread_count import check_thread_count
from .coefficients import Coefficients
from .gradients import Gradients
from .groups import Groups
from .launch import Launch, LaunchInfo
from .measure import Measure
from .sums import Sums
from .table import Table
from .update import Update


class HostLaunch(Launch):
    """A table of arrays on the CPU, whose coefficients the host computes."""

    def __init__(self, table: Table, module: ModuleType, group_of: npt.NDArray[np.int64]) -> None:
        """Compile the kernel of a table.

        Args:
            table: a table of arrays on the CPU.
            module: the backend.
            group_of: the group of each tensor of the table.
        """
        self.table, self.tensors = table, table.tensors
        self._module = module
        self._coefficients = Coefficients(table, group_of)
        self._walk = self._bound(table.update, table.dtypes, table.partials)
        self._measured = np.zeros((len(table.chunks), 1, len(PARTIALS)))
        self._measures: dict[Measure, Callable[[], None]] = {}
        self._carried: npt.NDArray[np.float64] | None = None
        self._sums: Callable[[], None] | None = None
        self._totals: Callable[[], None] | None = None
        self._total_partials = table.partials

    @property
    def info(self) -> LaunchInfo:
        """Its backend, update and dtypes."""
        table = self.table
        name = self._module.__name__
        return LaunchInfo(name, table.device, table.update, table.dtypes, False)

    @property
    def elements(self) -> int:
        """The number of elements of its parameters."""
        return int(self.table.sizes.sum())

    def set_addresses(self, gradients: Gradients) -> None:
        """Write the addresses into the table, where the kernel reads them."""
        self.table.addresses[1] = gradients.addresses[self.tensors]

    def measure(self, grads: Sequence[Any], what: Measure) -> npt.NDArray[np.float64]:
        """Return the combined partials of all gradients of the table."""
        if what not in self._measures:
            self._measures[what] = self._bound(what, self.table.dtypes[:2], self._measured)
        self._measures[what]()
        return combine_partials(self._measured[:, 0])

    def prepare(self, grads: Sequence[Any], groups: Groups, skip: Any = None) -> None:
        """Check the setting of the number of threads.

        Raises:
            ValueError: GPUOPT_NUM_THREADS is invalid.
        """
        check_thread_count()

    def sum_up(self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Walk the table once for the sums, with the coefficients that do not depend on them."""
        sums = self.table.update.sums
        if sums is None:
            return
        if self._sums is None:
            self._found = np.zeros((len(self.table.chunks), len(sums.watched_names), len(PARTIALS)))
            self._sums = self._bound(sums, self.table.dtypes, self._found)
        self.compute(steps, groups)
        self._sums()
        found = partials_of_tensors(self._found, self.table.chunks, len(self.table.sizes))
        self.table.carried[:, -len(sums.watched_names) :] = found[:, :, 0]

    def total_up(self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Walk the table once for the totals, if they come first."""
        totals = self.table.update.totals
        if totals is None:
            return
        if self._totals is None:
            shape = len(self.table.chunks), len(totals.watched_names), len(PARTIALS)
            self._total_partials = np.zeros(shape)
            self._totals = self._bound(totals, self.table.dtypes, self._total_partials)
        self.compute(steps, groups)
        self._totals()

    def totals(self) -> npt.NDArray[np.float64]:
        """Return the table's part of the totals, adding its chunks in order."""
        n = len(self.table.update.rule.totals)
        found: npt.NDArray[np.float64] = self._total_partials[:, -n:, 0].sum(axis=0)
        return found

    def read_sums(self) -> npt.NDArray[np.float64]:
        """Return the sums of the table's tensors, and their sizes."""
        return self.table.read_sums(self.table.carried)

    def write_sums(self, rows: npt.NDArray[np.float64]) -> None:
        """Write them into the table."""
        self.table.write_sums(self.table.carried, rows)

    def compute(self, steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute the coefficients, and the next carried numbers."""
        self._carried = self._coefficients.fill(steps[self.tensors] + 1, groups)

    def run(self, grads: Sequence[Any]) -> None:
        """Walk the table."""
        self._walk()
        if self._carried is not None:
            self.table.carried[...] = self._carried

    def _bound(
        self,
        update: Update | Measure | Sums,
        dtypes: tuple[str, ...],
        partials: npt.NDArray[np.float64],
    ) -> Callable[[], None]:
        t = self.table
        arrays = t.addresses, t.sizes, t.chunks, t.coefficients, t.ends, partials
        bound: Callable[[], None] = self._module.bind(update, dtypes, *arrays)
        return bound

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return the partials of each tensor."""
        own = self._measured if measured else None
        return self.table.partials_of_tensors(self.table.partials, own)

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write the table's numbers into ``carried``."""
        self.table.write_carried(self.table.carried, carried)
