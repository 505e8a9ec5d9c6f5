"""The numbers that all tensors of an optimizer share, which totals advance at each step.

Totals are sums over all tensors. If one device has all tensors, it adds them up and computes the
next shared numbers itself, without synchronizing. Otherwise the host does both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..rules.registry import Rule
from .device_launch import DeviceLaunch, DevicePlace
from .groups import Groups
from .launch import Launch
from .norm import Norm
from .sharding import Sharding
from .shared_on_device import SharedOnDevice
from .shared_on_host import SharedOnHost


class Shared:
    """The shared numbers of an optimizer, if its rules have any."""

    def __init__(self, sharding: Sharding) -> None:
        """Start with none; ``sharding`` has the process groups of each tensor."""
        self._sharding = sharding
        self._known: dict[str, float] = {}
        self._place: SharedOnDevice | SharedOnHost | None = None
        self._captured: list[SharedOnDevice] = []

    def load(self, carried: Sequence[Mapping[str, float]]) -> None:
        """Load the shared numbers from the tensors' carried numbers: the first of each is used."""
        self._leave()
        self._known = {name: x for own in reversed(carried) for name, x in own.items()}

    def numbers(self) -> dict[str, float]:
        """Return the shared numbers by name, empty before the first step; synchronizes."""
        if self._place is not None:
            self._known.update(self._place.numbers())
        return dict(self._known)

    def write_into(self, carried: Sequence[dict[str, float]], steps: Any) -> None:
        """Write them into the carried numbers of each tensor that has been updated."""
        if self._place is not None:
            numbers = self._place.numbers()
            for i in np.flatnonzero(steps).tolist():
                carried[i].update(numbers)

    def refresh(self, launches: Iterable[Launch], groups: Groups, rebuilt: bool) -> None:
        """Prepare for a step.

        Args:
            launches: the launches of the step.
            groups: the options of each group.
            rebuilt: whether the launches differ from the last step's.

        Raises:
            ValueError: groups differ in an option that must be the same in all.
        """
        rule = next((update.rule for update in groups.updates if update.rule.shared), None)
        if rule is not None:
            _check_alike(rule, groups)
        current = None if self._place is None else self._place.rule
        if rule is current and (rule is None or not rebuilt):
            return
        self.numbers()
        self._leave()
        if rule is not None:
            for name, start in rule.shared.items():
                first = groups[0].options[start] if isinstance(start, str) else start
                self._known.setdefault(name, first)
            self._place = self._placed(rule, list(launches), groups)

    def _leave(self) -> None:
        """Drop the place, but keep the memory whose addresses captured graphs hold."""
        if isinstance(self._place, SharedOnDevice) and self._place.captured:
            self._captured.append(self._place)
        self._place = None

    def _placed(
        self, rule: Rule, launches: list[Launch], groups: Groups
    ) -> SharedOnDevice | SharedOnHost:
        """Return the device that has all tensors, or the host."""
        known = {name: self._known[name] for name in rule.shared}
        on_device = [launch for launch in launches if isinstance(launch, DeviceLaunch)]
        places: dict[tuple[DevicePlace, int], list[DeviceLaunch]] = {}
        for launch in on_device:
            places.setdefault((launch.place, self._sharding.of(launch.tensors)), []).append(launch)
        if len(places) == 1 and len(on_device) == len(launches) and not self._sharding.sharded:
            return SharedOnDevice(rule, known, on_device, groups)
        indexed = [(k, own) for (_, k), own in places.items()]
        return SharedOnHost(rule, known, launches, indexed, self._sharding)

    def prepare(self, grads: Sequence[Any], groups: Groups, skip: Any) -> None:
        """Prepare the device that computes them; see `Launch.prepare`."""
        if isinstance(self._place, SharedOnDevice):
            self._place.prepare(grads, groups, skip)

    def before(
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups, norm: Norm
    ) -> Groups:
        """Return the groups with the shared numbers; compute the totals if these come first.

        Args:
            grads: for each parameter its gradient, or None.
            steps: the number of updates of each parameter.
            groups: the options of each group, with the norm.
            norm: may skip the step.
        """
        if self._place is None:
            return groups
        return self._place.before(grads, steps, groups, norm)

    def after(self, groups: Groups, skip: Any, norm: Norm) -> None:
        """Advance the shared numbers after an update, unless it was skipped.

        Args:
            groups: the options of each group, with the shared numbers.
            skip: a one-element float array on a device that skips the step; or None.
            norm: may have skipped the step.
        """
        if self._place is not None:
            self._place.after(groups, skip, norm)


def _check_alike(rule: Rule, groups: Groups) -> None:
    """Raise ValueError if groups differ in an option that must be the same in all."""
    for update in groups.updates:
        own = update.rule
        if own.advance is not rule.advance or own.totals_first != rule.totals_first:
            raise ValueError(
                f"all groups share {', '.join(rule.shared)}: expected rules that find it in the "
                f"same way, got {rule.name} and {own.name}"
            )
