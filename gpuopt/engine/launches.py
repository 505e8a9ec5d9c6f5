"""The launches of an optimizer: when they are rebuilt, and what is kept of the old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import is_torch_tensor
from ..kernels.table import PARTIALS
from .build import build_launches
from .device_launch import runs_on_device
from .dispatch import Place, chosen, forced
from .gradients import Changes, Gradients
from .groups import Groups
from .launch import Launch
from .numpy_launch import NumpyLaunch
from .sharding import Sharding
from .states import States


class Launches:
    """The launches that update the parameters of an optimizer.

    Attributes:
        active: bool, whether each parameter has a gradient.
        tensors: the torch tensors among the active parameters.
    """

    def __init__(
        self,
        places: Sequence[Place],
        gradients: Gradients,
        states: States,
        sharding: Sharding | None,
        for_totals: Sharding | None = None,
    ) -> None:
        """Start without launches.

        Args:
            places: the places of all parameters.
            gradients: the memory of parameters, states and gradients.
            states: the states of the parameters.
            sharding: see `build_launches`.
            for_totals: ``sharding`` for rules that have totals.
        """
        self._places, self._gradients, self._states = places, gradients, states
        self._sharding, self._for_totals = sharding, for_totals
        self._torch_indices = [i for i, param in enumerate(states.params) if is_torch_tensor(param)]
        self._torch_params = [states.params[i] for i in self._torch_indices]
        self.active = np.zeros(len(states.params), np.bool_)
        self.tensors: list[Any] = []
        self._launches: list[Launch] = []
        self._built_for: tuple[Any, ...] | None = None
        self._forced: tuple[str, str] | None = None
        self._captured: list[Any] = []

    def __iter__(self) -> Iterator[Launch]:
        """Iterate over the launches: tables first, then tensors that NumPy updates."""
        return iter(self._launches)

    def refresh(self, changes: Changes, groups: Groups) -> bool:
        """Accept changes of the gradients; return whether the launches were rebuilt.

        Args:
            changes: the changes of the arrays since the last step.
            groups: the options of each group.
        """
        force = forced()
        if force != self._forced:  # may be a backend that cannot run here
            for place in self._places:
                chosen(*place)
        key = groups.updates, groups.state_dtypes, force
        stale = key != self._built_for or self._gradients.layout_changed(changes)
        self._gradients.accept(changes)
        if stale:
            self._built_for = None
            self._build(groups)
            self._built_for, self._forced = key, force
        if stale or changes:
            self._point()
        return stale

    def forget(self) -> None:
        """Drop the launches; the next step builds new ones."""
        self._replace([])
        self._built_for = None

    def invalidate(self) -> None:
        """Let the next step rebuild the launches, keeping their counts."""
        self._built_for = None

    def _build(self, groups: Groups) -> None:
        gradients, states = self._gradients, self._states
        self.pull_steps()
        self.pull_carried()
        gradients.forget_inactive(states.steps == 0)
        known = [i for i, grad in enumerate(gradients.grads) if grad is not None]
        states.allocate(known, groups)
        entries = [states.entry(i, gradients.grad(i), groups) for i in known]
        totals = any(update.rule.totals for update in groups.updates)
        apart = self._for_totals if totals else self._sharding
        self._replace(build_launches(entries, self._places, states, groups, apart))

    def _replace(self, launches: list[Launch]) -> None:
        """Drop the launches, but keep the memory whose addresses captured graphs hold."""
        captured = [launch for launch in self._launches if launch.captured]
        if captured:
            self._captured.append((captured, [dict(held) for held in self._states.arrays]))
        self._launches = launches

    def _point(self) -> None:
        self.active = self._gradients.addresses != 0
        active = self.active[self._torch_indices].tolist()
        self.tensors = list(compress(self._torch_params, active))
        for launch in self._launches:
            launch.set_addresses(self._gradients)

    def pull_steps(self) -> npt.NDArray[np.int64]:
        """Return the step counts; synchronizes with devices, which count themselves."""
        for launch in self._launches:
            launch.pull_steps(self._states.steps)
        return self._states.steps

    def pull_carried(self) -> list[dict[str, float]]:
        """Return the carried numbers by name; synchronizes with devices."""
        for launch in self._launches:
            launch.pull_carried(self._states.carried)
        return self._states.carried

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return the partials of each parameter at the last step; synchronizes with devices.

        Args:
            measured: see `Launch.read_partials`.

        Returns:
            [n_params, 3, 3], zeros for a parameter without a gradient.
        """
        found = np.zeros((len(self.active), 3, len(PARTIALS)))
        for launch in self._launches:
            found[launch.tensors] = launch.read_partials(measured)[:, :3]
        found[~self.active] = 0.0
        return found

    def any_on_host(self) -> bool:
        """Whether the host updates any of the parameters."""
        return not all(runs_on_device(chosen(*place).load()) for place in self._places)

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that update the parameters of each place, and strided arrays."""
        names = [chosen(*place).name for place in self._places]
        by_numpy = any(isinstance(launch, NumpyLaunch) for launch in self._launches)
        return tuple(dict.fromkeys((*names, "numpy") if by_numpy else names))
