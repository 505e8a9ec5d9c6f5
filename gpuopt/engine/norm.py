"""The norm of all gradients of a step: what clips them, and what skips the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import scalars
from ..kernels.table import PARTIALS, combine_partials
from .groups import Groups
from .launch import SQUARES, DeviceLaunch, DevicePlace, HostLaunch, Launch, Total
from .measure import measure_for
from .sharding import Sharding
from .tail import Tail

_OnDevices = dict[tuple[DevicePlace, int], list[DeviceLaunch]]
"""The tables of each device, and of each kind of spread."""

_TOGETHER = -1
"""In place of a kind: all kinds."""


class Norm:
    """What is known of the gradients of the last step, and how many steps were skipped.

    It is found where the gradients lie: on one device without waiting for it. Gradients on
    several devices, or on the host too, are put together by the host, which waits for them.
    """

    def __init__(self, tail: Tail, kinds: Sharding) -> None:
        """Nothing is known yet.

        Args:
            tail: what surrounds the update.
            kinds: which tensors are spread over which processes.
        """
        self._tail, self._sharding = tail, kinds
        self._expected: list[tuple[DevicePlace | None, int]] = []
        self._total = np.zeros(len(PARTIALS))
        self._skipped = 0
        self._factor: Any = 1.0
        self._totals: dict[tuple[DevicePlace, int], Total] = {}
        self._device: Total | None = None

    def expect(self, wanted: Sequence[tuple[DevicePlace | None, int]]) -> None:
        """Know where each kind of spread is measured: None is the host.

        A process without a gradient has no table, and yet is to answer the others.
        """
        self._expected = list(wanted)

    def measure(
        self,
        launches: Sequence[Launch],
        others: Sequence[tuple[int, npt.NDArray[np.float64]]],
        groups: Groups,
        skip: Any,
    ) -> tuple[Groups, bool]:
        """Read all gradients; tell the devices what follows.

        Args:
            launches: the tables, ready to run.
            others: places and partials of the gradients that no table has.
            groups: what each group wants.
            skip: what a device is to skip the step for, beside that.

        Returns:
            The groups for what the host updates, and whether that is to skip the step.

        Raises:
            RuntimeError: the norm is not finite, and `Tail.error_if_nonfinite`; not where ``skip``
                skips the step.
        """
        tail = self._tail
        what = measure_for(tail)
        hosts = [
            (self._kind_of(launch), launch.measure(what))
            for launch in launches
            if isinstance(launch, HostLaunch)
        ]
        hosts += [(int(self._sharding.of[i]), found) for i, found in others]
        devices = self._on_devices(launches)
        self._device = self._total_of_one(devices, skip) if self._alone(devices, hosts) else None
        if self._device is None:
            self._total = self._total_of_all(devices, hosts)
        wanted = tail.error_if_nonfinite and not (skip is not None and scalars.value_of(skip))
        if wanted and not math.isfinite(self.norm()):
            raise RuntimeError(
                f"clip_norm: the norm of all gradients is {self.norm()}; nothing has been changed"
            )
        if self._device is not None:
            for launch in chain(*devices.values()):
                launch.follow(self._device, tail.skip_nonfinite)
            return groups, False
        bad = tail.skip_nonfinite and bool(self._total[2])
        self._skipped += bad
        squares = float(self._total[0])
        for launch in chain(*devices.values()):
            launch.clip_by(squares)
        return groups.with_common({SQUARES: squares}), bad

    def _kind_of(self, launch: Launch) -> int:
        """Return how a table's tensors are spread: all of them alike."""
        return int(self._sharding.of[launch.table.tensors[0]])

    def _on_devices(self, launches: Sequence[Launch]) -> _OnDevices:
        """Return the tables that are measured together."""
        found: _OnDevices = {
            (place, kind): [] for place, kind in self._expected if place is not None
        }
        for launch in launches:
            if isinstance(launch, DeviceLaunch):
                found.setdefault((launch.place, self._kind_of(launch)), []).append(launch)
        return found

    def _alone(self, devices: _OnDevices, hosts: Sequence[Any]) -> bool:
        """Whether one device measures everything; all processes answer the same."""
        if self._expected:
            return None not in dict(self._expected) and len(dict(self._expected)) == 1
        return len(devices) == 1 and not hosts

    def _total_of_one(self, devices: _OnDevices, skip: Any) -> Total:
        """Let one device measure its tables and decide, without waiting for it."""
        decide = self._tail.skip_nonfinite
        if not self._sharding.shared:
            ((where, launches),) = devices.items()
            total = self._total_of(*where)
            total.measure(launches, skip, decide)
            return total
        totals = [self._gathered(*where, launches) for where, launches in devices.items()]
        ((place, _), *_) = devices
        total = self._total_of(place, _TOGETHER)
        total.add_up(totals, skip, decide)
        return total

    def _gathered(self, place: DevicePlace, kind: int, launches: Sequence[DeviceLaunch]) -> Total:
        total = self._total_of(place, kind)
        total.measure(launches, None, False)
        spread = self._sharding.process_groups[kind]
        if spread is not None:
            spread.gather(total.memory)
        return total

    def _total_of_all(
        self, devices: _OnDevices, hosts: Sequence[tuple[int, npt.NDArray[np.float64]]]
    ) -> npt.NDArray[np.float64]:
        """Wait for the devices, and for the other processes."""
        parts = list(hosts)
        for (place, kind), launches in devices.items():
            self._total_of(place, kind).measure(launches, None, False)
        parts += [(kind, self._total_of(place, kind).read()) for place, kind in devices]
        whole = [np.zeros(len(PARTIALS))]
        for kind, spread in enumerate(self._sharding.process_groups):
            own = combine_partials(np.array([whole[0], *(found for k, found in parts if k == kind)]))
            whole.append(own if spread is None else spread.together(own))
        return combine_partials(np.array(whole))

    def _total_of(self, place: DevicePlace, kind: int) -> Total:
        """Return where what is measured on a device comes together; it outlives the tables.

        Only what is done in one stream can: that of one library on one device.
        """
        if (place, kind) not in self._totals:
            self._totals[place, kind] = Total(place)
        return self._totals[place, kind]

    def scaled_by(self, groups: Groups) -> None:
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
