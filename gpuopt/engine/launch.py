"""A table and what updates its tensors: on the host, or on a device of its own."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import scalars
from ..kernels.table import PARTIALS, combine_partials, partials_of_tensors
from .coefficients import Coefficients
from .compose import Update
from .groups import Groups
from .measure import MEASURE, Measure
from .table import Table

SQUARES = "sum_of_squares"
"""The option that the norm of all gradients is."""


DevicePlace = tuple[ModuleType, str, str]
"""Kernels, a device, and the library whose stream of it the work goes to."""


class Launch(Protocol):
    """One table, ready to run."""

    table: Table

    @property
    def captured(self) -> bool:
        """Whether a graph may read the table at any time from here on."""

    def point_to(self, grads: npt.NDArray[np.int64]) -> None:
        """Take other addresses for the gradients' row of the table."""

    def prepare(self, groups: Groups, skip: Any = None) -> None:
        """Do all that may go wrong before anything is updated.

        Args:
            groups: what each group wants.
            skip: an array of one float on a device; unless it is 0, the step is to be none.
        """

    def run(self, steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Update every tensor of the table that has a gradient.

        Args:
            steps: updates that each tensor of the optimizer has had.
            groups: what each group wants.
        """

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return what was watched of each tensor, [n_tensors, 3, 3]; waits for a device."""

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """Write into ``steps`` what is counted elsewhere."""

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write into ``carried``, one dict for each tensor of the optimizer, what its own carry."""


class HostLaunch:
    """A table of arrays on the CPU, whose coefficients the host computes."""

    captured = False

    def __init__(self, table: Table, module: ModuleType, group_of: npt.NDArray[np.int64]) -> None:
        """Compile the kernel; ``group_of`` is the group of each tensor of the table."""
        self.table = table
        self._module = module
        self._coefficients = Coefficients(table, group_of)
        module.compile(table.update, table.dtypes)
        self._partials = np.zeros((0, 1, len(PARTIALS)))

    def point_to(self, grads: npt.NDArray[np.int64]) -> None:
        """The kernel reads the table itself."""
        self.table.addresses[1] = grads

    def prepare(self, groups: Groups, skip: Any = None) -> None:
        """Nothing can go wrong; what is to be skipped does not come here."""

    def run(self, steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute the coefficients and walk the table."""
        table = self.table
        self._coefficients.fill(steps[table.tensors] + 1, groups)
        self._walk(table.update, table.dtypes, table.partials)

    def measure(self, with_what: Measure) -> npt.NDArray[np.float64]:
        """Return the partials of all gradients of the table together."""
        table = self.table
        if len(self._partials) != len(table.chunks):
            self._partials = np.zeros((len(table.chunks), 1, len(PARTIALS)))
        self._walk(with_what, table.dtypes[:2], self._partials)
        return combine_partials(self._partials[:, 0])

    def _walk(
        self, update: Update | Measure, dtypes: tuple[str, ...], partials: npt.NDArray[np.float64]
    ) -> None:
        table = self.table
        self._module.run(
            update,
            dtypes,
            table.addresses,
            table.sizes,
            table.chunks,
            table.coefficients,
            table.ends,
            partials,
        )

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return what was watched of each tensor, [n_tensors, 3, 3].

        Args:
            measured: take the gradients' as `measure` found them: of a skipped step, too.
        """
        return _of_tensors(self.table, self.table.partials, self._partials if measured else None)

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """The host counts."""

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Copy the table's numbers."""
        _spread(self.table, self.table.carried, carried)


class DeviceLaunch:
    """A table of arrays on a device that counts steps and computes coefficients by itself."""

    def __init__(
        self,
        table: Table,
        module: ModuleType,
        group_of: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        groups: Groups,
    ) -> None:
        """Copy the table to the device; ``steps`` are all the optimizer's."""
        self.table = table
        self._module = module
        self._groups = groups
        self._addresses_sent = True
        options = groups.matrix(table.update.option_names)
        self._memory = module.DeviceTable(table, steps[table.tensors], group_of, options)

    @property
    def captured(self) -> bool:
        """Whether it was launched while a graph was captured."""
        return bool(self._memory.captured)

    def point_to(self, grads: npt.NDArray[np.int64]) -> None:
        """Remember that the device is to be told, if they are others than before."""
        if not np.array_equal(grads, self.table.addresses[1]):
            self.table.addresses[1] = grads
            self._addresses_sent = False

    def prepare(self, groups: Groups, skip: Any = None) -> None:
        """Tell the device what it does not know.

        That is everything while a graph is captured, which tells it again at every replay, and
        ever after, since nobody knows what the last replay said.
        """
        everything = self._memory.begin()
        self._memory.skip_if(skip)
        if everything or not self._addresses_sent:
            self._memory.send_addresses(self.table.addresses)
            self._addresses_sent = True
        if everything or groups is not self._groups:
            self._memory.send_options(groups.matrix(self.table.update.option_names))
            self._groups = groups
        for rows, name, tensor in groups.followed:
            if scalars.on_host(tensor) == (self.table.device == "cpu"):
                self._memory.follow(rows, self.table.update.option_names.index(name), tensor)
            # else the host reads it

    def run(self, steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Launch."""
        self._memory.run()

    @property
    def place(self) -> DevicePlace:
        """Whose tables can be measured together."""
        return self._module, self.table.device, self.table.library

    def follow(self, total: Total, decides: bool) -> None:
        """Clip by the norm that a total will hold, and skip the step if it says so."""
        if SQUARES in self.table.update.option_names:
            column = self.table.update.option_names.index(SQUARES)
            self._memory.follow(self._groups.all, column, total.memory.squares)
        if decides:
            self._memory.skip_if(total.memory.skip)

    def clip_by(self, sum_of_squares: float) -> None:
        """Clip by a norm that the host knows."""
        if SQUARES in self.table.update.option_names:
            groups = self._groups.with_common({SQUARES: sum_of_squares})
            self._memory.send_options(groups.matrix(self.table.update.option_names))

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Wait for the device, and return what was watched, as `HostLaunch.read_partials` does."""
        own = self._memory.read_measured() if measured else None
        return _of_tensors(self.table, self._memory.read_partials(), own)

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """Wait for the device and read its counts."""
        steps[self.table.tensors] = self._memory.read_steps()

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Wait for the device and read its numbers, if there are any."""
        if self.table.carried.size:
            _spread(self.table, self._memory.read_carried(), carried)


class Total:
    """What was measured in all tables of one device, which goes on by itself.

    Attributes:
        memory: on the device.
    """

    def __init__(self, place: DevicePlace) -> None:
        """Make what keeps it on the device."""
        module, device, library = place
        self.memory = module.DeviceTotal(device, library)

    def measure(self, launches: Sequence[DeviceLaunch], skip: Any, decide: bool) -> None:
        """Read all gradients of some tables, without waiting.

        Args:
            launches: of the device, ready to run.
            skip: an array of one float on the device; unless it is 0, the step is to be none.
            decide: whether the step is to be none if a gradient is not finite.
        """
        tables = [launch._memory for launch in launches]
        self.memory.measure(tables, MEASURE, skip, decide)

    def add_up(self, totals: Sequence[Total], skip: Any, decide: bool) -> None:
        """Be several totals of the device together, without waiting; else as `measure`."""
        self.memory.add_up([total.memory for total in totals], skip, decide)

    def read(self) -> npt.NDArray[np.float64]:
        """Wait for the device, and return the partials of all gradients together."""
        found: npt.NDArray[np.float64] = self.memory.read()
        return found

    def read_skipped(self) -> int:
        """Wait for the device, and return how many steps were skipped."""
        return int(self.memory.read_skipped())


def _of_tensors(
    table: Table, watched: npt.NDArray[np.float64], measured: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.float64]:
    """Return the partials of whole tensors, the gradients' as they were measured, if they were."""
    count = len(table.sizes)
    found = partials_of_tensors(watched, table.chunks, count)
    if measured is not None:
        found[:, :1] = partials_of_tensors(measured, table.chunks, count)
    return found


def _spread(
    table: Table, rows: npt.NDArray[np.float64], carried: Sequence[dict[str, float]]
) -> None:
    if rows.size:
        for tensor, row in zip(table.tensors.tolist(), rows.tolist()):
            carried[tensor].update(zip(table.update.carried_names, row))
