"""A launch of a table on a device, which counts steps and computes coefficients itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arrays import is_torch_tensor, scalars
from .gradients import Gradients
from .groups import Groups
from .launch import Launch, LaunchInfo
from .staging import Staged
from .table import Table, grad_address

if TYPE_CHECKING:
    from ..kernels.device_total import DeviceTotal

SQUARES = "sum_of_squares"
"""The option for the squared norm of all gradients."""

DevicePlace = tuple[ModuleType, str, str]
"""A backend, a device, and the library whose stream is used; one pass measures all its
gradients."""


def runs_on_device(module: ModuleType) -> bool:
    """Whether a backend's tables are on a device, which counts the steps itself."""
    return hasattr(module, "DeviceTable")


class DeviceLaunch(Launch):
    """A table of arrays on a device.

    Tensors whose arrays differ in memory order or have gaps are staged: the table has dense copies,
    which `prepare` fills and `run` writes back.
    """

    def __init__(
        self,
        table: Table,
        module: ModuleType,
        group_of: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        groups: Groups,
        staged: Sequence[Staged] = (),
        states: Sequence[Any] = (),
    ) -> None:
        """Compile the kernels of a table and copy it to the device.

        Args:
            table: a table of arrays on the device.
            module: the backend.
            group_of: the group of each tensor of the table.
            steps: the number of updates of each parameter of the optimizer.
            groups: the options of each group.
            staged: its staged tensors.
            states: the states of its tensors, kept alive, since the optimizer may drop them while
                a step still uses them.
        """
        self.table, self.tensors = table, table.tensors
        self._module = module
        self._groups = groups
        self._addresses_sent = True
        self._summed = table.carried
        self._staged = list(staged)
        self._active: list[Staged] = []
        options = groups.matrix(table.update.option_names)
        self.memory = module.DeviceTable(table, steps[table.tensors], group_of, options)
        copies = [copy for each in staged for _, _, copy in each.copies]
        self.memory.hold_also([array for array in (*states, *copies) if is_torch_tensor(array)])

    @property
    def info(self) -> LaunchInfo:
        """Its backend, update and dtypes."""
        table = self.table
        name = self._module.__name__
        return LaunchInfo(name, table.device, table.update, table.dtypes, bool(self._staged))

    @property
    def elements(self) -> int:
        """The number of elements of its parameters."""
        return int(self.table.sizes.sum())

    @property
    def captured(self) -> bool:
        """Whether it was launched while a graph was captured."""
        return bool(self.memory.captured)

    @property
    def place(self) -> DevicePlace:
        """The place where its gradients are measured."""
        return self._module, self.table.device, self.table.library

    def set_addresses(self, gradients: Gradients) -> None:
        """Store the addresses; `prepare` sends them if they changed."""
        addresses = gradients.addresses
        self._active = [s for s in self._staged if addresses[s.entry.index]]
        if self._active:
            addresses = addresses.copy()
            for staged in self._active:
                if staged.copies_grad:
                    addresses[staged.entry.index] = grad_address(staged.entry.memory[1])
        own = addresses[self.tensors]
        if not np.array_equal(own, self.table.addresses[1]):
            self.table.addresses[1] = own
            self._addresses_sent = False

    def prepare(self, grads: Sequence[Any], groups: Groups, skip: Any = None) -> None:
        """Send changes to the device, and fill the staged copies.

        During and after a graph capture everything is sent: each replay sends it again, and any
        later step may follow a replay.
        """
        everything = self.memory.begin()
        self.memory.skip_if(skip)
        if everything or not self._addresses_sent:
            self.memory.send_addresses(self.table.addresses)
            self._addresses_sent = True
        if everything or groups is not self._groups:
            self.memory.send_options(groups.matrix(self.table.update.option_names))
            self._groups = groups
        names = self.table.update.option_names
        for rows, name, tensor in groups.followed:
            if name in names and scalars.on_host(tensor) == (self.table.device == "cpu"):
                self.memory.follow(rows, names.index(name), tensor)
            # otherwise it is not used, or is already among the options
        for staged in self._active:
            staged.fill(grads[staged.entry.index])

    def read_sums(self) -> npt.NDArray[np.float64]:
        """Compute the sums now instead of in `run`, and wait for them."""
        self._summed = self.memory.read_sums()
        return self.table.read_sums(self._summed)

    def write_sums(self, rows: npt.NDArray[np.float64]) -> None:
        """Send them to the device."""
        self.table.write_sums(self._summed, rows)
        self.memory.send_carried(self._summed)

    def run(self, grads: Sequence[Any]) -> None:
        """Launch the kernels, and write the staged results back."""
        self.memory.run()
        for staged in self._active:
            staged.write_back(grads[staged.entry.index])

    def follow(self, total: DeviceTotal, decides: bool) -> None:
        """Clip by the norm of a total; if it ``decides``, it also skips steps."""
        if SQUARES in self.table.update.option_names:
            column = self.table.update.option_names.index(SQUARES)
            self.memory.follow(self._groups.all, column, total.squares)
        if decides:
            self.memory.skip_if(total.skip)

    def read_option_from(self, option: str, number: Any) -> None:
        """Read an option of all groups from a number on the device at each step."""
        if option in self.table.update.option_names:
            column = self.table.update.option_names.index(option)
            self.memory.follow(self._groups.all, column, number)

    def set_common_options(self, numbers: Mapping[str, float]) -> None:
        """Send options that all groups share to the device."""
        names = self.table.update.option_names
        own = {names.index(name): number for name, number in numbers.items() if name in names}
        self.memory.send_numbers(list(own), list(own.values()), self._groups.all)

    def total_up(self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute partials of totals, if a pass before the update does so."""
        self.memory.total_up()

    def clip_by(self, sum_of_squares: float) -> None:
        """Clip by a norm that the host computed."""
        if SQUARES in self.table.update.option_names:
            groups = self._groups.with_common({SQUARES: sum_of_squares})
            self.memory.send_options(groups.matrix(self.table.update.option_names))

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return the partials of each tensor; synchronizes with the device."""
        own = self.memory.read_measured() if measured else None
        return self.table.partials_of_tensors(self.memory.read_partials(), own)

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """Write the device's counts into ``steps``; synchronizes."""
        steps[self.tensors] = self.memory.read_steps()

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write the device's carried numbers, if any, into ``carried``; synchronizes."""
        if self.table.carried.size:
            self.table.write_carried(self.memory.read_carried(), carried)
