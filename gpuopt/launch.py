"""A table and what updates its tensors: on the host, or on a device of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from . import scalars
from .compose import Update
from .table import Table


@dataclass(frozen=True, eq=False)
class Group:
    """What one group of tensors wants from the next step.

    Attributes:
        update: the composed update.
        options: the hyperparameters that its coefficients are computed from.
        state_dtype: of the states, or None for float32 (float64 for float64 parameters).
        tensors: the options whose values are tensors; a device reads those that lie on it.
    """

    update: Update
    options: Mapping[str, float]
    state_dtype: str | None = None
    tensors: Mapping[str, Any] = field(default_factory=dict)


class Launch(Protocol):
    """One table, ready to run."""

    table: Table

    @property
    def captured(self) -> bool:
        """Whether a graph may read the table at any time from here on."""

    def send_addresses(self) -> None:
        """Make the gradients' row of the table known to whoever walks it."""

    def run(self, steps: npt.NDArray[np.int64], groups: Sequence[Group]) -> None:
        """Update every tensor of the table that has a gradient.

        Args:
            steps: updates that each tensor of the optimizer has had.
            groups: what each group wants.
        """

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """Write into ``steps`` what is counted elsewhere."""


class HostLaunch:
    """A table of arrays on the CPU, whose coefficients the host computes."""

    captured = False

    def __init__(self, table: Table, module: ModuleType, group_of: npt.NDArray[np.int64]) -> None:
        """Compile the kernel; ``group_of`` is the group of each tensor of the table."""
        self.table = table
        self._module = module
        self._group_of = group_of
        module.compile(table.update, table.dtypes)

    def send_addresses(self) -> None:
        """The kernel reads the table itself."""

    def run(self, steps: npt.NDArray[np.int64], groups: Sequence[Group]) -> None:
        """Compute the coefficients and walk the table."""
        table = self.table
        counts = steps[table.tensors] + 1
        fill_coefficients(table.coefficients, counts, self._group_of, groups)
        self._module.run(
            table.update,
            table.dtypes,
            table.addresses,
            table.sizes,
            table.chunks,
            table.coefficients,
            table.ends,
        )

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """The host counts."""


class DeviceLaunch:
    """A table of arrays on a device that counts steps and computes coefficients by itself."""

    def __init__(
        self,
        table: Table,
        module: ModuleType,
        group_of: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        groups: Sequence[Group],
    ) -> None:
        """Copy the table to the device; ``steps`` are all the optimizer's."""
        self.table = table
        self._groups = groups
        options = self._options(groups)
        self._memory = module.DeviceTable(table, steps[table.tensors], group_of, options)

    @property
    def captured(self) -> bool:
        """Whether it was launched while a graph was captured."""
        return bool(self._memory.captured)

    def send_addresses(self) -> None:
        """Send the table's addresses."""
        self._memory.send_addresses(self.table.addresses)

    def run(self, steps: npt.NDArray[np.int64], groups: Sequence[Group]) -> None:
        """Send the options if they are others than before, and launch."""
        if groups is not self._groups:
            self._groups = groups
            self._memory.send_options(self._options(groups))
        for row, group in enumerate(groups):
            for name, tensor in group.tensors.items():
                if scalars.on_host(tensor) == (
                    self.table.device == "cpu"
                ):  # else the host reads it
                    self._memory.follow(row, self.table.update.option_names.index(name), tensor)
        self._memory.run()

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:
        """Wait for the device and read its counts."""
        steps[self.table.tensors] = self._memory.read_steps()

    def _options(self, groups: Sequence[Group]) -> npt.NDArray[np.float64]:
        names = self.table.update.option_names
        return np.array([[group.options.get(name, 0.0) for name in names] for group in groups])


def fill_coefficients(
    coefficients: npt.NDArray[Any],
    counts: npt.NDArray[np.int64],
    group_of: npt.NDArray[np.int64],
    groups: Sequence[Group],
) -> None:
    """Compute the coefficients once for each pair of group and step count.

    Args:
        coefficients: one row a tensor; rounded once, here.
        counts: the step that each tensor takes now.
        group_of: the group of each.
        groups: what each group wants.
    """
    keys = np.stack([group_of, counts])
    with np.errstate(over="ignore"):  # beyond float32 is inf, as everywhere
        if (keys == keys[:, :1]).all():
            coefficients[...] = coefficients_of(groups, *keys[:, 0].tolist())
            return
        distinct, inverse = np.unique(keys, axis=1, return_inverse=True)
        rows = [coefficients_of(groups, *key) for key in distinct.T.tolist()]
        coefficients[...] = np.array(rows)[inverse.reshape(-1)]


def coefficients_of(groups: Sequence[Group], group: int, count: int) -> tuple[float, ...]:
    """Return the float64 coefficients of a tensor of a group at a step."""
    return groups[group].update.coefficients(count, groups[group].options)
