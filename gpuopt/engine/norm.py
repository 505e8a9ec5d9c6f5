"""The norm of all gradients of a step, for clipping and for skipping steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arrays import Memory, scalars
from ..kernels.table import PARTIALS, combine_partials
from .device_launch import SQUARES, DeviceLaunch, DevicePlace, runs_on_device
from .dispatch import chosen, place_of
from .groups import Groups
from .launch import Launch
from .measure import MEASURE, measure_for
from .sharding import Sharding
from .tail import Tail

if TYPE_CHECKING:
    from ..kernels.device_total import DeviceTotal

_Where = tuple[DevicePlace, int]
"""Gradients measured in one pass: on one device, with the process groups of a `Sharding` index."""

_OnDevices = dict[_Where, list[DeviceLaunch]]

_OnHost = list[tuple[int, npt.NDArray[np.float64]]]
"""Pairs of such an index, and partials on the host."""

_ALL = -1
"""Stands for all process groups, in place of such an index."""


class Norm:
    """The norm of the gradients of the last step, and how many steps were skipped.

    If one device has all gradients, it computes the norm and decides itself, without synchronizing.
    Otherwise the host waits for the devices and combines their results with its own.
    """

    def __init__(self, tail: Tail, sharding: Sharding) -> None:
        """Start without a norm.

        Args:
            tail: defines the use of the norm.
            sharding: the process groups of each tensor.
        """
        self._tail, self._sharding = tail, sharding
        self._expected: list[tuple[DevicePlace | None, int]] = []
        self._total = np.zeros(len(PARTIALS))
        self._skipped = 0
        self._groups: Groups | None = None
        self._totals: dict[_Where, DeviceTotal] = {}
        self._device: DeviceTotal | None = None

    def expect(self, params: Sequence[Memory]) -> None:
        """Record where the gradients of sharded tensors are measured: on a device, or the host.

        A process whose shards have no gradients has no launch, but must still join collectives.
        """
        if not (self._tail.measures and self._sharding.sharded):
            return
        wanted: dict[tuple[DevicePlace | None, int], None] = {}
        for k, memory in zip(self._sharding.index_of.tolist(), params):
            module = chosen(*place_of(memory)).load()
            own = (module, memory.device, memory.library) if runs_on_device(module) else None
            wanted[own, k] = None
        first = next(iter(wanted), (None, 0))[0]
        wanted.update(dict.fromkeys((first, k) for k in self._sharding.without_tensors()))
        # All processes make their collective calls in this order.
        self._expected = sorted(wanted, key=itemgetter(1))

    def measure(
        self, launches: Iterable[Launch], grads: Sequence[Any], groups: Groups, skip: Any
    ) -> tuple[Groups, bool]:
        """Measure all gradients, and let the devices clip and skip by the result.

        Args:
            launches: all launches of a step, prepared.
            grads: for each parameter its gradient, or None.
            groups: the options of each group.
            skip: a one-element float array on a device, which may also skip the step; or None.

        Returns:
            The groups with the norm among their options, and whether the host skips the step.

        Raises:
            RuntimeError: the norm is not finite under `Tail.error_if_nonfinite`, unless ``skip``
                skips the step.
        """
        tail = self._tail
        on_host, on_devices = self._on_host(launches, grads), self._on_devices(launches)
        one = self._has_one_device(on_devices, on_host)
        self._device = self._measure_on_one(on_devices, skip) if one else None
        if self._device is None:
            self._total = self._measure_on_all(on_devices, on_host)
        wanted = tail.error_if_nonfinite and not (skip is not None and scalars.value_of(skip))
        if wanted and not math.isfinite(self.norm()):
            raise RuntimeError(
                f"clip_norm: the norm of all gradients is {self.norm()}; nothing has been changed"
            )
        if self._device is not None:
            for launch in chain(*on_devices.values()):
                launch.follow(self._device, tail.skip_nonfinite)
            return groups, False
        bad = tail.skip_nonfinite and bool(self._total[2])
        skipped = bad or (skip is not None and bool(scalars.value_of(skip)))
        self._skipped += skipped
        squares = float(self._total[0])
        for launch in chain(*on_devices.values()):
            launch.clip_by(squares)
        return groups.with_common({SQUARES: squares}), skipped

    def _on_host(self, launches: Iterable[Launch], grads: Sequence[Any]) -> _OnHost:
        what = measure_for(self._tail)
        found = ((launch, launch.measure(grads, what)) for launch in launches)
        of = self._sharding.of
        return [(of(launch.tensors), own) for launch, own in found if own is not None]

    def _on_devices(self, launches: Iterable[Launch]) -> _OnDevices:
        found: _OnDevices = {(place, k): [] for place, k in self._expected if place is not None}
        for launch in launches:
            if isinstance(launch, DeviceLaunch):
                where = launch.place, self._sharding.of(launch.tensors)
                found.setdefault(where, []).append(launch)
        return found

    def _has_one_device(self, on_devices: _OnDevices, on_host: _OnHost) -> bool:
        """Whether one device has all gradients; the answer is the same in all processes."""
        if self._expected:
            return None not in dict(self._expected) and len(dict(self._expected)) == 1
        return len(on_devices) == 1 and not on_host

    def _measure_on_one(self, on_devices: _OnDevices, skip: Any) -> DeviceTotal:
        """Let one device measure and decide, without synchronizing."""
        decide = self._tail.skip_nonfinite
        if not self._sharding.sharded:
            ((where, launches),) = on_devices.items()
            return self._measured(where, launches, skip, decide)
        totals = [self._gathered(where, launches) for where, launches in on_devices.items()]
        ((place, _), *_) = on_devices
        total = self._total_of((place, _ALL))
        total.add_up(totals, skip, decide)
        return total

    def _gathered(self, where: _Where, launches: Sequence[DeviceLaunch]) -> DeviceTotal:
        total, groups = self._measured(where, launches), self._sharding.process_groups[where[1]]
        if groups is not None:
            groups.gather(total)
        return total

    def _measured(
        self,
        where: _Where,
        launches: Sequence[DeviceLaunch],
        skip: Any = None,
        decide: bool = False,
    ) -> DeviceTotal:
        total = self._total_of(where)
        total.measure([launch.memory for launch in launches], MEASURE, skip, decide)
        return total

    def _measure_on_all(self, on_devices: _OnDevices, on_host: _OnHost) -> npt.NDArray[np.float64]:
        """Return the combined partials; synchronizes with devices and other processes."""
        totals = [(where[1], self._measured(where, own)) for where, own in on_devices.items()]
        parts = [*on_host, *((k, total.read()) for k, total in totals)]
        whole = [np.zeros(len(PARTIALS))]
        for index, groups in enumerate(self._sharding.process_groups):
            found = [partials for k, partials in parts if k == index]
            own = combine_partials(np.array([whole[0], *found]))
            whole.append(own if groups is None else groups.combine(own))
        return combine_partials(np.array(whole))

    def _total_of(self, where: _Where) -> DeviceTotal:
        """Return the total of a device, which outlives the launches and is used on one stream."""
        if where not in self._totals:
            (module, device, library), _ = where
            self._totals[where] = module.DeviceTotal(device, library)
        return self._totals[where]

    def let_skip(self, launch: DeviceLaunch) -> None:
        """Let a launch skip the step if the device does."""
        if self._device is not None:
            launch.follow(self._device, self._tail.skip_nonfinite)

    def skips(self, skip: Any) -> bool:
        """Whether the devices skip the step; synchronizes.

        Args:
            skip: a one-element float array on a device, which may also skip it; or None.
        """
        if self._device is not None:
            return self._device.read_skip()
        return skip is not None and bool(scalars.value_of(skip))

    def scaled_by(self, groups: Groups) -> None:
        """Record the factor that unscales the gradients of this step."""
        self._groups = groups

    def factor(self) -> float:
        """Return the factor that unscaled the last step's gradients; synchronizes with a device."""
        if self._groups is None:
            return 1.0
        first = self._groups[0]
        factor = first.tensors.get("grad_factor", first.options.get("grad_factor", 1.0))
        return scalars.number_or_value(factor)

    def norm(self) -> float:
        """Return the 2-norm of the last step's unscaled gradients; synchronizes with a device."""
        total = self._total if self._device is None else self._device.read()
        return math.sqrt(total[0]) * abs(self.factor())

    def skip(self) -> None:
        """Count a step that the caller skipped."""
        self._skipped += 1

    def count(self, launches: Iterable[Launch], skip: Any) -> None:
        """Let a device count a step without a norm, if it is skipped.

        Args:
            launches: all launches of the step.
            skip: a one-element float array on the device, which skips the step unless it is 0.
        """
        places = [launch.place for launch in launches if isinstance(launch, DeviceLaunch)]
        for place in places[:1]:
            self._total_of((place, _ALL)).add_up((), skip, decide=False)

    def load(self, skipped: int) -> None:
        """Set the number of skipped steps."""
        by_devices = sum(total.read_skipped() for total in self._totals.values())
        self._skipped, self._device = skipped - by_devices, None

    def skipped(self) -> int:
        """Return the number of skipped steps; synchronizes with a device."""
        return self._skipped + sum(total.read_skipped() for total in self._totals.values())
