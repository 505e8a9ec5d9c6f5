"""The norm of all gradients of a step: what clips them, and what skips the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import scalars
from .kernels.table import PARTIALS, together
from .launch import DeviceLaunch, Group, HostLaunch, Launch
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
        self._device: Any = None

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
        devices = [launch for launch in launches if isinstance(launch, DeviceLaunch)]
        kinds = {launch.table.device for launch in devices}
        alone = len(kinds) == 1 and not hosts and not others
        self._device = devices[0].total(devices, skip, tail.skip_nonfinite) if alone else None
        if self._device is None:
            of_devices = [d.total([d], None, False).read() for d in devices]
            self._total = together(np.array([np.zeros(3), *hosts, *others, *of_devices]))
        if tail.error_if_nonfinite and not math.isfinite(self.norm()):
            raise RuntimeError(
                f"clip_norm: the norm of all gradients is {self.norm()}; nothing has been changed"
            )
        if self._device is not None:
            for launch in devices:
                launch.follow(self._device)
            return groups, False
        bad = tail.skip_nonfinite and bool(self._total[2])
        self._skipped += bad
        for launch in devices:
            launch.tell(float(self._total[0]), bad)
        found = {"sum_of_squares": float(self._total[0])}
        return [replace(g, options={**g.options, **found}) for g in groups], bad

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
        self._skipped, self._device = skipped, None

    def skipped(self) -> int:
        """Return how many steps were skipped; waits for a device."""
        return self._skipped + (0 if self._device is None else self._device.read_skipped())
