"""Shared numbers in the memory of the one device that has all tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.table import PARTIALS
from ..rules.registry import Rule
from ..rules.rule import next_name
from .advance import advance_of
from .device_launch import DeviceLaunch
from .groups import Groups
from .norm import Norm
from .table import EMPTY, Table


class SharedOnDevice:
    """The shared numbers of launches on one device, which advances them without synchronizing."""

    def __init__(
        self,
        rule: Rule,
        known: Mapping[str, float],
        launches: Sequence[DeviceLaunch],
        groups: Groups,
    ) -> None:
        """Send the shared numbers to the device.

        Args:
            rule: the rule, which all groups share.
            known: the shared numbers by name.
            launches: all launches of a step.
            groups: the options of each group.
        """
        from ..kernels.device_totals import DeviceTotals  # only a device has one

        self.rule, self._launches = rule, launches
        self._launch = _advancing(rule, known, launches[0], groups)
        tables = [launch.memory for launch in launches]
        self._totals = DeviceTotals(tables, len(rule.totals), self._launch.memory)

    @property
    def captured(self) -> bool:
        """Whether a CUDA graph holds addresses of its memory."""
        return self._launch.captured

    def numbers(self) -> dict[str, float]:
        """Return the shared numbers by name; synchronizes."""
        return dict(zip(self._names, self._launch.memory.read_carried()[0].tolist()))

    @property
    def _names(self) -> tuple[str, ...]:
        return self._launch.table.update.kept_names

    def prepare(self, grads: Sequence[Any], groups: Groups, skip: Any) -> None:
        """Prepare the launch that advances them; see `Launch.prepare`."""
        self._launch.prepare(grads, groups, skip)

    def before(
        self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups, norm: Norm
    ) -> Groups:
        """Let the launches read the numbers; compute the totals if these come first."""
        norm.let_skip(self._launch)
        self._let_read({name: name for name in self.rule.shared})
        if self.rule.totals_first:
            for launch in self._launches:
                launch.total_up(grads, steps, groups)
            self._advance()
            self._let_read({next_name(name): name for name in self.rule.shared})
        return groups

    def after(self, groups: Groups, skip: Any, norm: Norm) -> None:
        """Advance the numbers after an update, unless the device has skipped it."""
        if not self.rule.totals_first:
            self._advance()

    def _advance(self) -> None:
        self._totals.add_up()
        self._launch.run(())

    def _let_read(self, numbers: Mapping[str, str]) -> None:
        """Let the launches read options from shared numbers, which ``numbers`` has by option."""
        for option, name in numbers.items():
            memory = self._launch.memory.number(self._names.index(name))
            for launch in self._launches:
                launch.read_option_from(option, memory)


def _advancing(
    rule: Rule, known: Mapping[str, float], launch: DeviceLaunch, groups: Groups
) -> DeviceLaunch:
    """Return the launch that advances the shared numbers on the device of another."""
    module, device, library = launch.place
    update = advance_of(rule)
    carried = np.zeros((1, len(update.carried_names)))
    carried[0, : len(update.kept_names)] = [known[name] for name in update.kept_names]
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
