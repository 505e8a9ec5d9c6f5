"""Shared numbers on the host, which adds up the totals of all devices and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..kernels.table import PARTIALS
from ..rules.registry import Rule
from ..rules.rule import next_name
from .advance import advance_of
from .device_launch import DeviceLaunch
from .groups import Groups
from .launch import Launch
from .norm import Norm
from .sharding import Sharding

if TYPE_CHECKING:
    from ..kernels.device_totals import DeviceTotals


class SharedOnHost:
    """The shared numbers of launches anywhere, which wait for devices and other processes."""

    def __init__(
        self,
        rule: Rule,
        known: Mapping[str, float],
        launches: Sequence[Launch],
        on_devices: Sequence[tuple[int, Sequence[DeviceLaunch]]],
        sharding: Sharding,
    ) -> None:
        """Prepare to add up the totals.

        Args:
            rule: the rule, which all groups share.
            known: the shared numbers by name.
            launches: all launches of a step.
            on_devices: those on each device, with the index of the process groups of their tensors.
            sharding: the process groups of each tensor.
        """
        self.rule, self._known, self._next = rule, dict(known), dict(known)
        self._launches, self._sharding = launches, sharding
        self._totals = [(k, self._totals_of(own)) for k, own in on_devices]

    def _totals_of(self, launches: Sequence[DeviceLaunch]) -> DeviceTotals:
        from ..kernels.device_totals import DeviceTotals  # only a device has one

        return DeviceTotals([launch.memory for launch in launches], len(self.rule.totals))

    def numbers(self) -> dict[str, float]:
        """Return the shared numbers by name."""
        return dict(self._known)

    def before(
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups, norm: Norm
    ) -> Groups:
        """Return the groups with the numbers; compute the totals if these come first."""
        groups = self._send(groups, self._known)
        if self.rule.totals_first:
            for launch in self._launches:
                launch.total_up(grads, steps, groups)
            self._advance(groups)
            groups = self._send(groups, self._next)
        return groups

    def after(self, groups: Groups, skip: Any, norm: Norm) -> None:
        """Advance the numbers after an update, unless it was skipped."""
        if not self.rule.totals_first:
            self._advance(groups)
        if not norm.skips(skip):
            self._known = self._next

    def _advance(self, groups: Groups) -> None:
        """Compute the next numbers."""
        names = self.rule.shared
        numbers = [self._known[name] for name in names]
        totals = self._read_totals().tolist()
        found = advance_of(self.rule).after(numbers, totals, groups[0].options)
        self._next = dict(zip(names, found))

    def _send(self, groups: Groups, after: Mapping[str, float]) -> Groups:
        """Return the groups with the numbers before and after the step; send these to devices."""
        numbers = dict(self._known)
        if self.rule.totals_first:
            numbers.update((next_name(name), number) for name, number in after.items())
        for launch in self._launches:
            launch.set_common_options(numbers)
        return groups.with_common(numbers)

    def _read_totals(self) -> npt.NDArray[np.float64]:
        """Return the totals; synchronizes with devices and other processes."""
        n = len(self.rule.totals)
        for _, totals in self._totals:
            totals.add_up()
        parts = [(k, totals.read()) for k, totals in self._totals]
        for launch in self._launches:
            own = launch.totals()
            parts += [] if own is None else [(self._sharding.of(launch.tensors), own)]
        whole = np.zeros(n)
        for index, process_groups in enumerate(self._sharding.process_groups):
            partials = np.zeros((n, len(PARTIALS)))
            for k, own in parts:
                partials[:, 0] += own if k == index else 0.0
            if process_groups is not None:
                partials = process_groups.combine(partials)
            whole += partials[:, 0]
        return whole
