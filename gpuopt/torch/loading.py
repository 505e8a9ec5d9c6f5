"""What a state dict brings to an optimizer: all of it checked first, then in tensors of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..engine.compose import within
from ..optimizers.state_dicts import OF_TAILS
from ..rules.registry import RULES
from .counts import Counts
from .fitting import check

if TYPE_CHECKING:
    from .fused import Fused

States = dict[torch.Tensor, dict[str, Any]]


class Loaded:
    """The contents of a state dict for one optimizer.

    Torch would cast each state to its parameter's dtype, and share it with the state dict wherever
    that changes nothing. Here torch loads the groups and the numbers, and has no other tensors.

    Attributes:
        rest: what torch loads.
        skipped: how many steps were skipped, if the state dict says so.
        saved: the states of each parameter, as they were saved.
    """

    def __init__(self, optimizer: Fused, state_dict: Mapping[str, Any], mine: States) -> None:
        """Check the state dict, and copy its tensors in the dtypes that they have.

        Args:
            optimizer: that it is for.
            state_dict: by torch's names.
            mine: of each parameter the states whose tensors the optimizer keeps, if they come back.

        Raises:
            TypeError, ValueError: it is of another class or of other parameters.
        """
        fitting = check(optimizer, state_dict)
        self.skipped = optimizer._skipped_in(state_dict)
        self.saved = state_dict["state"].values()
        self._mine, self._numbers, self._tensors = mine, dict[Any, Any](), dict[Any, Any]()
        self.rest: dict[str, Any] = {**state_dict, "state": dict(state_dict["state"])}
        for place, group, param in fitting:
            self._take(optimizer, place, group, param)

    def put(self, state: States, counts: Counts) -> None:
        """Put the tensors where torch has put the rest.

        Args:
            state: of each parameter, by torch's names.
            counts: the optimizer's.
        """
        for param, numbers in self._numbers.items():
            own, mine = state[param], self._mine.get(param) or {}
            for name, number in numbers.items():
                if isinstance(number, torch.Tensor):  # torch may have cast it
                    own[name] = _own(number, mine.get(name), own[name].device)
            step = numbers.get("step")
            if isinstance(step, int) and isinstance(own["step"], torch.Tensor):
                counts.note(param, own["step"], step)
            own.update(self._tensors[param])

    def _take(
        self, optimizer: Fused, place: Any, group: Mapping[str, Any], param: torch.Tensor
    ) -> None:
        own = self.rest["state"].get(place)
        if not own:
            return
        numbers = {"step", *optimizer._names_of("carried")}
        tensors = {
            name: value
            for name, value in own.items()
            if isinstance(value, torch.Tensor) and name not in numbers
        }
        self.rest["state"][place] = rest = {n: v for n, v in own.items() if n not in tensors}
        self._numbers[param] = {n: v for n, v in rest.items() if n in numbers}
        for name in _unused(optimizer, group, param):  # nobody would bring them on from here
            tensors.pop(name, None)
        mine = self._mine.get(param) or {}
        where = param.device
        self._tensors[param] = {n: _own(v, mine.get(n), where) for n, v in tensors.items()}


def _unused(optimizer: Fused, group: Mapping[str, Any], param: torch.Tensor) -> frozenset[str]:
    """Return the states of tails that an optimizer has no use for."""
    update = within(RULES[optimizer._rule(group)], optimizer._tail)
    wanted = update.for_params(str(param.dtype).removeprefix("torch.")).own_states
    return OF_TAILS - wanted.keys()


def _own(value: torch.Tensor, mine: Any, device: torch.device) -> torch.Tensor:
    """Return a copy; or the very tensor, if it is the optimizer's already, and can stay."""
    if value is mine and value.device == device and not value.is_inference():
        return value
    return value.detach().to(device, copy=True)
