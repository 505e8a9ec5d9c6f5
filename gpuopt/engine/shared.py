"""The numbers that all tensors of an optimizer share, which totals advance at each step.

Totals are sums over all tensors. If one device has all tensors, it adds them up and computes the
next shared numbers itself, without synchronizing. Otherwise the host does both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..kernels.table import PARTIALS
from ..rules.registry import Rule
from ..rules.rule import next_name
from .advance import advance_of
from .device_launch import DeviceLaunch, DevicePlace
from .groups import Groups
from .launch import Launch
from .norm import Norm
from .sharding import Sharding
from .table import EMPTY, Table

if TYPE_CHECKING:
    from ..kernels.device_totals import DeviceTotals


class Shared:
    """The shared numbers of an optimizer, if its rules have any."""

    def __init__(self, sharding: Sharding) -> None:
        """Start with none; ``sharding`` has the process groups of each tensor."""
        self._sharding = sharding
        self._rule: Rule | None = None
        self._known: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._launches: list[Launch] = []
        self._launch: DeviceLaunch | None = None
        self._totals: dict[tuple[DevicePlace, int], DeviceTotals] = {}
        self._captured: list[Any] = []

    def load(self, carried: Sequence[Mapping[str, float]]) -> None:
        """Load the shared numbers from the tensors' carried numbers: the first of each is used."""
        self._keep_captured()
        self._launch, self._rule = None, None
        self._known = {name: x for own in reversed(carried) for name, x in own.items()}

    def numbers(self) -> dict[str, float]:
        """Return the shared numbers by name, empty before the first step; synchronizes."""
        if self._launch is not None:
            names = self._launch.table.update.kept_names
            self._known.update(zip(names, self._launch.memory.read_carried()[0].tolist()))
        return dict(self._known)

    def write_into(self, carried: Sequence[dict[str, float]], steps: Any) -> None:
        """Write them into the carried numbers of each tensor that has been updated."""
        if self._rule is not None:
            known = self.numbers()
            numbers = {name: known[name] for name in self._rule.shared}
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
        if rule is None:
            self._rule = None
            return
        _check_alike(rule, groups)
        if rebuilt or rule is not self._rule:
            self._begin(rule, groups[0].options)
            self._build(list(launches), groups)

    def _begin(self, rule: Rule, options: Mapping[str, float]) -> None:
        self.numbers()
        self._rule = rule
        for name, start in rule.shared.items():
            self._known.setdefault(name, options[start] if isinstance(start, str) else start)

    def _build(self, launches: list[Launch], groups: Groups) -> None:
        rule = self._rule
        assert rule is not None
        self._keep_captured()
        self._launches, self._launch = launches, None
        on_device = [launch for launch in launches if isinstance(launch, DeviceLaunch)]
        places: dict[tuple[DevicePlace, int], list[Any]] = {}
        for launch in on_device:
            places.setdefault((launch.place, self._index_of(launch)), []).append(launch.memory)
        into = None
        if len(places) == 1 and len(on_device) == len(launches) and not self._sharding.sharded:
            self._launch = self._on_device(on_device[0], groups)
            into = self._launch.memory
        n = len(rule.totals)
        from ..kernels.device_totals import DeviceTotals  # only a device has one

        self._totals = {key: DeviceTotals(tables, n, into) for key, tables in places.items()}

    def _on_device(self, launch: DeviceLaunch, groups: Groups) -> DeviceLaunch:
        """Return the launch that advances the shared numbers on the device of another."""
        assert self._rule is not None
        module, device, library = launch.place
        update = advance_of(self._rule)
        carried = np.zeros((1, len(update.carried_names)))
        carried[0, : len(update.kept_names)] = [self._known[n] for n in update.kept_names]
        nothing = np.zeros(1, np.int64)
        table = Table(
            update,  # type: ignore[arg-type]  # as `kernels.table.Update` has it
            device,
            library,
            update.dtypes,
            False,
            nothing,
            np.full((2, 1), EMPTY, np.int64),
            nothing,
            np.zeros((0, 2), np.int32),
            np.zeros(0, np.int64),
            np.zeros((1, 0)),
            carried,
            np.zeros((0, 1, len(PARTIALS))),
        )
        return DeviceLaunch(table, module, nothing, nothing, groups)

    def _keep_captured(self) -> None:
        if self._launch is not None and self._launch.captured:
            self._captured.append((self._launch, self._totals))

    def _index_of(self, launch: Launch) -> int:
        return int(self._sharding.index_of[launch.tensors[0]])

    def prepare(self, grads: Sequence[Any], groups: Groups, skip: Any) -> None:
        """Prepare the device that computes them; see `Launch.prepare`."""
        if self._rule is not None and self._launch is not None:
            self._launch.prepare(grads, groups, skip)

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
        rule = self._rule
        if rule is None:
            return groups
        if self._launch is not None:
            norm.let_skip(self._launch)
            self._follow({name: name for name in rule.shared})
        self._next = current = dict(self._known)
        groups = self._with_numbers(groups, current, current)
        if rule.totals_first:
            for launch in self._launches:
                launch.total_up(grads, steps, groups)
            self._advance(groups)
            groups = self._with_numbers(groups, current, self._next)
        return groups

    def after(self, groups: Groups, skip: Any, norm: Norm) -> None:
        """Advance the shared numbers after an update, unless it was skipped.

        Args:
            groups: the options of each group, with the shared numbers.
            skip: a one-element float array on a device that skips the step; or None.
            norm: may have skipped the step.
        """
        if self._rule is None:
            return
        if not self._rule.totals_first:
            self._advance(groups)
        if self._launch is None and not norm.skips(skip):
            self._known = self._next

    def _advance(self, groups: Groups) -> None:
        """Compute the next shared numbers; a device keeps them in its memory."""
        rule = self._rule
        assert rule is not None
        for totals in self._totals.values():
            totals.add_up()
        if self._launch is not None:
            self._launch.run(())
            if rule.totals_first:
                self._follow({next_name(name): name for name in rule.shared})
            return
        numbers = [self._known[name] for name in rule.shared]
        found = advance_of(rule).after(numbers, self._read_totals().tolist(), groups[0].options)
        self._next = {**self._known, **dict(zip(rule.shared, found))}

    def _follow(self, numbers: Mapping[str, str]) -> None:
        """Read options from the shared numbers on the device, which ``numbers`` has by option."""
        assert self._launch is not None
        table = self._launch.table.update
        for option, name in numbers.items():
            memory = self._launch.memory.number(table.kept_names.index(name))
            for launch in self._launches:
                launch.read_option_from(option, memory)  # type: ignore[attr-defined]  # on a device

    def _with_numbers(
        self, groups: Groups, current: Mapping[str, float], after: Mapping[str, float]
    ) -> Groups:
        """Return the groups with the host's shared numbers, and send these to the devices."""
        rule = self._rule
        if rule is None or self._launch is not None:
            return groups
        numbers = {name: current[name] for name in rule.shared}
        if rule.totals_first:
            numbers.update((next_name(name), after[name]) for name in rule.shared)
        for launch in self._launches:
            launch.set_common_options(numbers)
        return groups.with_common(numbers)

    def _read_totals(self) -> npt.NDArray[np.float64]:
        """Return the totals; synchronizes with devices and other processes."""
        assert self._rule is not None
        n = len(self._rule.totals)
        parts = [(key[1], totals.read()) for key, totals in self._totals.items()]
        for launch in self._launches:
            own = launch.totals()
            parts += [] if own is None else [(self._index_of(launch), own)]
        whole = np.zeros(n)
        for index, process_groups in enumerate(self._sharding.process_groups):
            partials = np.zeros((n, len(PARTIALS)))
            for k, own in parts:
                partials[:, 0] += own if k == index else 0.0
            if process_groups is not None:
                partials = process_groups.combine(partials)
            whole += partials[:, 0]
        return whole


def _check_alike(rule: Rule, groups: Groups) -> None:
    """Raise ValueError if groups differ in an option that must be the same in all."""
    for update in groups.updates:
        own = update.rule
        if own.advance is not rule.advance or own.totals_first != rule.totals_first:
            raise ValueError(
                f"all groups share {', '.join(rule.shared)}: expected rules that find it in the "
                f"same way, got {rule.name} and {own.name}"
            )
