"""The norm of all gradients of a step: what clips them, and what skips the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from . import scalars
from .kernels.table import PARTIALS, together
from .launch import SQUARES, DeviceLaunch, Group, HostLaunch, Launch, Total
from .measure import measure_for
from .tail import Tail


class Norm:
    """What is known of the gradients of the last step, and how many steps were skipped.

    It is found where the gradients lie: on one device without waiting for it. Gradients on
    several devices, or on the host too, are put together by the host, which waits for them.
    """

    def __init__(self, tail: Tail) -> None:
        """Nothing is known yet."""
        self._tail = tail
        self._total = np.zeros(len(PARTIALS))
        self._skipped = 0
        self._factor: Any = 1.0
        self._totals: dict[tuple[Any, ...], Total] = {}
        self._device: Total | None = None

    def measure(
        self,
        launches: Sequence[Launch],
        others: Sequence[npt.NDArray[np.float64]],
        groups: Sequence[Group],
        skip: Any,
    ) -> tuple[Sequence[Group], bool]:
        """Read all gradients; tell the devices what follows.

        Args:
            launches: the tables, ready to run.
            others: partials of the gradients that no table has.
            groups: what each group wants.
            skip: what a device is to skip the step for, beside that.

        Returns:
            The groups for what the host updates, and whether that is to skip the step.

        Raises:
            RuntimeError: the norm is not finite, and `Tail.error_if_nonfinite`.
        """
        tail = self._tail
        what = measure_for(tail)
        hosts = [launch.measure(what) for launch in launches if isinstance(launch, HostLaunch)]
        devices: dict[Total, list[DeviceLaunch]] = {}
        for launch in launches:
            if isinstance(launch, DeviceLaunch):
                devices.setdefault(self._total_of(launch), []).append(launch)
        alone = len(devices) == 1 and not hosts and not others
        for total, own in devices.items():
            total.measure(own, skip if alone else None, alone and tail.skip_nonfinite)
        self._device = next(iter(devices)) if alone else None
        if self._device is None:
            of_devices = [total.read() for total in devices]
            nothing = np.zeros(len(PARTIALS))
            self._total = together(np.array([nothing, *hosts, *others, *of_devices]))
        if tail.error_if_nonfinite and not math.isfinite(self.norm()):
            raise RuntimeError(
                f"clip_norm: the norm of all gradients is {self.norm()}; nothing has been changed"
            )
        if self._device is not None:
            for launch in devices[self._device]:
                launch.follow(self._device, tail.skip_nonfinite)
            return groups, False
        bad = tail.skip_nonfinite and bool(self._total[2])
        self._skipped += bad
        squares = float(self._total[0])
        for launch in chain(*devices.values()):
            launch.tell(squares)
        found = {SQUARES: squares}
        return [replace(g, options={**g.options, **found}) for g in groups], bad

    def _total_of(self, launch: DeviceLaunch) -> Total:
        """Return where what is measured on its device comes together; it outlives the tables.

        Only what is done in one stream can: that of one library on one device.
        """
        if launch.place not in self._totals:
            self._totals[launch.place] = launch.new_total()
        return self._totals[launch.place]

    def scaled_by(self, groups: Sequence[Group]) -> None:
        """Note what unscales the gradients of this step."""
        first = groups[0]
        self._factor = first.tensors.get("grad_factor", first.options.get("grad_factor", 1.0))

    def factor(self) -> float:
        """Return what unscaled the gradients of the last step; waits for a device."""
        return scalars.number_or_value(self._factor)

    def norm(self) -> float:
        """Return the 2-norm of all gradients of the last step, unscaled; waits for a device."""
        total = self._total if self._device is None else self._device.read()
        return math.sqrt(total[0]) * abs(self.factor())

    def skip(self) -> None:
        """Count a step that somebody else decided to skip."""
        self._skipped += 1

    def load(self, skipped: int) -> None:
        """Take over how many steps were skipped."""
        by_devices = sum(total.read_skipped() for total in self._totals.values())
        self._skipped, self._device = skipped - by_devices, None

    def skipped(self) -> int:
        """Return how many steps were skipped; waits for a device."""
        return self._skipped + sum(total.read_skipped() for total in self._totals.values())
