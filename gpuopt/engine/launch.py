"""The interface of a launch: some parameters of a step, and the code that updates them.

`HostLaunch` updates a table on the CPU, `DeviceLaunch` one on a device, and `NumpyLaunch` a single
tensor that is not in a table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .gradients import Gradients
from .groups import Groups
from .measure import Measure
from .update import Update


class LaunchInfo(NamedTuple):
    """The backend of a launch, its update, and the dtypes of its lists."""

    module: str
    """The kernel module of its backend."""
    device: str
    update: Update
    dtypes: tuple[str, ...]
    """The dtypes of the update's lists."""
    strided: bool
    """Whether it has an array with gaps, or arrays that differ in memory order."""


class Launch(ABC):
    """Some parameters of an optimizer, ready to be updated.

    A step passes the addresses of moved gradients to all launches, prepares all, measures all if it
    needs the norm, computes the coefficients of all, and only then runs them. Lists of gradients,
    steps and carried numbers are those of the whole optimizer: a launch selects its own.

    Attributes:
        tensors: int64, the indices of its parameters in the optimizer.
    """

    tensors: npt.NDArray[np.int64]

    @property
    @abstractmethod
    def info(self) -> LaunchInfo:
        """Its backend, update and dtypes."""

    @property
    @abstractmethod
    def elements(self) -> int:
        """The number of elements of its parameters."""

    @property
    def captured(self) -> bool:
        """Whether a captured graph may read its memory at any time."""
        return False

    @abstractmethod
    def set_addresses(self, gradients: Gradients) -> None:
        """Store the addresses of the gradients; 0 if there is none."""

    def prepare(  # noqa: B027  # most launches have nothing to prepare
        self, grads: Sequence[Any], groups: Groups, skip: Any = None
    ) -> None:
        """Do everything that may fail, before any parameter changes.

        Args:
            grads: for each parameter its gradient, or None.
            groups: the options of each group.
            skip: a one-element float array on a device, which skips the step unless it is 0. Steps
                that the host skips do not get here.
        """

    def measure(self, grads: Sequence[Any], what: Measure) -> npt.NDArray[np.float64] | None:
        """Return the combined partials of its gradients.

        None if it has no gradient, or if a `DeviceTotal` combines those of its device.
        """
        return None

    def sum_up(  # noqa: B027  # a device does it when it runs
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups
    ) -> None:
        """Compute the sums that the coefficients depend on, if there are any.

        Args:
            grads: for each parameter its gradient, or None.
            steps: the updates that each parameter has had.
            groups: the options of each group, with the norm.
        """

    def total_up(  # noqa: B027  # most updates have no such pass
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups
    ) -> None:
        """Compute partials of the totals, if a pass before the update does so.

        The arguments are those of `sum_up`.
        """

    def totals(self) -> npt.NDArray[np.float64] | None:
        """Return its part of the totals; None if a `DeviceTotals` adds them up on its device."""
        return None

    def set_common_options(  # noqa: B027  # the host computes with the groups' own
        self, numbers: Mapping[str, float]
    ) -> None:
        """Store options that all groups share and that change at each step."""

    @abstractmethod
    def read_sums(self) -> npt.NDArray[np.float64]:
        """Return the sums of its tensors, followed by their sizes; synchronizes with a device."""

    @abstractmethod
    def write_sums(self, rows: npt.NDArray[np.float64]) -> None:
        """Replace the sums and sizes of shards by those of whole tensors."""

    def compute(  # noqa: B027  # a device computes its own
        self, steps: npt.NDArray[np.int64], groups: Groups
    ) -> None:
        """Compute the coefficients of the step; nothing else changes.

        Args:
            steps: the updates that each parameter has had.
            groups: the options of each group, with the norm.
        """

    @abstractmethod
    def run(self, grads: Sequence[Any]) -> None:
        """Update every parameter that has a gradient, and its carried numbers.

        Args:
            grads: for each parameter its gradient, or None.
        """

    @abstractmethod
    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return the partials of each parameter, [n_tensors, 3, 3]; synchronizes with a device.

        Args:
            measured: take the gradients' partials from `measure`, which also reads the
                gradients of a skipped step.
        """

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:  # noqa: B027  # the host counts
        """Write a device's step counts into ``steps``; synchronizes."""

    @abstractmethod
    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write its carried numbers into ``carried``; synchronizes with a device."""
