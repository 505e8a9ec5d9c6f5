"""The norm on a device: the partials of all its tables, combined there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .device_launch import DeviceLaunch, DevicePlace
from .measure import MEASURE


class Total:
    """The combined partials of all gradients on one device.

    Attributes:
        memory: the `kernels.device_total.DeviceTotal`.
    """

    def __init__(self, place: DevicePlace) -> None:
        """Allocate it on the device."""
        module, device, library = place
        self.memory = module.DeviceTotal(device, library)

    def measure(self, launches: Sequence[DeviceLaunch], skip: Any, decide: bool) -> None:
        """Read all gradients of some launches, without waiting.

        Args:
            launches: of the device, prepared.
            skip: an array of one float on the device; unless it is 0, the step is skipped.
            decide: whether a gradient that is not finite skips the step, too.
        """
        tables = [launch.memory for launch in launches]
        self.memory.measure(tables, MEASURE, skip, decide)

    def add_up(self, totals: Sequence[Total], skip: Any, decide: bool) -> None:
        """Combine other totals of the device; ``skip`` and ``decide`` as in `measure`."""
        self.memory.add_up([total.memory for total in totals], skip, decide)

    def apply_to(self, launch: DeviceLaunch, decides: bool) -> None:
        """Clip a launch by the norm; if the total ``decides``, let it skip the step, too."""
        launch.clip_on_device(self.memory.squares)
        if decides:
            launch.memory.skip_if(self.memory.skip)

    def read(self) -> npt.NDArray[np.float64]:
        """Return the combined partials; waits for the device."""
        found: npt.NDArray[np.float64] = self.memory.read()
        return found

    def read_skipped(self) -> int:
        """Return how many steps were skipped; waits for the device."""
        return int(self.memory.read_skipped())
