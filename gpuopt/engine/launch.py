"""The interface of a launch: some parameters of a step, and what updates them.

`HostLaunch` walks a table on the CPU, `DeviceLaunch` one on a device, and `NumpyLaunch` updates
one tensor that no table holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .gradients import Gradients
from .groups import Groups
from .measure import Measure
from .update import Update


class Walked(NamedTuple):
    """What a launch does to each element, and with what."""

    module: str
    """The kernel module of its backend."""
    device: str
    update: Update
    dtypes: tuple[str, ...]
    """Of the update's lists."""
    strided: bool
    """Whether it has an array with gaps, or arrays that differ in memory order."""


class Launch(ABC):
    """Some parameters of an optimizer, ready to be updated.

    A step points all launches to the gradients where these moved, prepares all, measures all if
    it needs the norm, computes the coefficients of all, and only then runs them. Lists of
    gradients, steps and carried numbers are those of the whole optimizer: a launch picks its own.

    Attributes:
        tensors: int64, the indices of its parameters in the optimizer.
    """

    tensors: npt.NDArray[np.int64]

    @property
    @abstractmethod
    def walked(self) -> Walked:
        """What it does to each element, and with what."""

    @property
    @abstractmethod
    def elements(self) -> int:
        """The number of elements of its parameters."""

    @property
    def captured(self) -> bool:
        """Whether a graph was captured that may read its memory at any time."""
        return False

    @abstractmethod
    def point_to(self, gradients: Gradients) -> None:
        """Take the addresses of the gradients; 0 where there is none."""

    def prepare(  # noqa: B027  # most launches have nothing to prepare
        self, grads: Sequence[Any], groups: Groups, skip: Any = None
    ) -> None:
        """Do all that may fail before any parameter changes.

        Args:
            grads: for each parameter its gradient, or None.
            groups: the options of each group.
            skip: an array of one float on a device, which skips the step there unless it is 0; what
                the host is to skip does not come here.
        """

    def measure(self, grads: Sequence[Any], what: Measure) -> npt.NDArray[np.float64] | None:
        """Return the combined partials of its gradients.

        None if it has no gradient, or if a `DeviceTotal` combines those of its device.
        """
        return None

    def sum_up(  # noqa: B027  # a device does it when it runs
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups
    ) -> None:
        """Find the sums of the tensors that the coefficients depend on, if there are any.

        Args:
            grads: for each parameter its gradient, or None.
            steps: the updates that each parameter has had.
            groups: the options of each group, with the norm.
        """

    @abstractmethod
    def read_sums(self) -> npt.NDArray[np.float64]:
        """Return the sums of its tensors, and behind them their sizes; waits for a device."""

    @abstractmethod
    def write_sums(self, rows: npt.NDArray[np.float64]) -> None:
        """Take sums and sizes of whole tensors in place of those of shards."""

    def compute(  # noqa: B027  # a device computes its own
        self, steps: npt.NDArray[np.int64], groups: Groups
    ) -> None:
        """Compute the coefficients of the step; nothing else changes yet.

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
        """Return the partials of each parameter, [n_tensors, 3, 3]; waits for a device.

        Args:
            measured: take the gradients' partials from `measure`, which also reads the gradients
                of a skipped step.
        """

    def pull_steps(self, steps: npt.NDArray[np.int64]) -> None:  # noqa: B027  # the host counts
        """Write the counts that a device keeps into ``steps``; waits for it."""

    @abstractmethod
    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write the carried numbers of its parameters into ``carried``; waits for a device."""
