"""The states that an optimizer loads from a state dict: all are checked, then copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from ..engine.compose import within
from ..optimizers.coded_dicts import formats_in
from ..optimizers.loaded import unused
from ..optimizers.whole import STATE_DTYPE
from ..rules.formats import scale_name
from .coded import Coded, copied_coded_states, with_state
from .param_groups import CheckedParamGroups
from .state_dict_checks import check_state_dict
from .step_counts import StepCounts

States = dict[torch.Tensor, dict[str, Any]]


class LoadedStates:
    """The states in a state dict, for one optimizer.

    torch would cast each state to its parameter's dtype, and share the tensor with the state dict
    if the cast does nothing. Here torch only loads the groups and the numbers.

    Attributes:
        rest: the state dict that torch loads.
        skipped: the number of skipped steps, if the state dict has it.
        saved: the states of each parameter, as they were saved.
        coded: the states of parameters that were saved as codes.
    """

    def __init__(
        self, optimizer: CheckedParamGroups, state_dict: Mapping[str, Any], mine: States
    ) -> None:
        """Check the state dict, and copy its tensors in their dtypes.

        Args:
            optimizer: the optimizer that loads it.
            state_dict: a state dict with torch's names.
            mine: the optimizer's states of each parameter; its own tensors are not copied.

        Raises:
            TypeError, ValueError: it is of another class or of other parameters.
        """
        state_dict = with_state(state_dict)
        fitting = check_state_dict(optimizer, state_dict)
        self.skipped = optimizer._skipped_in(state_dict)
        self.saved = state_dict["state"].values()
        self.coded: dict[torch.Tensor, Coded] = {}
        self._mine, self._numbers, self._tensors = mine, dict[Any, Any](), dict[Any, Any]()
        groups = list(map(_with_own, state_dict["param_groups"], optimizer.param_groups))
        self.rest: dict[str, Any] = {**state_dict, "state": dict(state_dict["state"])}
        if fitting:
            self.rest["param_groups"] = groups
        for key, group, param in fitting:
            formats = formats_in(state_dict, key)
            in_codes = {part for name in formats for part in (name, scale_name(name))}
            self._take(optimizer, key, group, param, in_codes)
            if formats:
                coded, values = copied_coded_states(state_dict, key, formats, param)
                self._tensors[param].update(values)
                self.coded |= {param: coded} if coded.formats else {}

    def put(self, state: States, counts: StepCounts) -> None:
        """Put the tensors into ``state``, where torch has put the rest.

        Args:
            state: the states of each parameter, by torch's names.
            counts: records the counts that a step tensor rounds.
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
        self,
        optimizer: CheckedParamGroups,
        key: Any,
        group: Mapping[str, Any],
        param: torch.Tensor,
        in_codes: Collection[str],
    ) -> None:
        """Copy the tensors of a parameter except ``in_codes``; other values stay in `rest`."""
        own = self.rest["state"].get(key)
        if not own:
            return
        numbers = {"step", *optimizer._carried_names()}
        tensors = {
            name: value
            for name, value in own.items()
            if isinstance(value, torch.Tensor) and name not in numbers
        }
        self.rest["state"][key] = rest = {n: v for n, v in own.items() if n not in tensors}
        self._numbers[param] = {n: v for n, v in rest.items() if n in numbers}
        for name in (*_unused(optimizer, group, param, tensors), *in_codes):
            tensors.pop(name, None)
        mine = self._mine.get(param) or {}
        device = param.device
        self._tensors[param] = {n: _own(v, mine.get(n), device) for n, v in tensors.items()}


def _with_own(saved: Mapping[str, Any], mine: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a saved group, with this optimizer's ``state_dtype`` if it has none."""
    own = {STATE_DTYPE: mine[STATE_DTYPE]} if STATE_DTYPE in mine else {}
    return {**own, **saved}


def _unused(
    optimizer: CheckedParamGroups,
    group: Mapping[str, Any],
    param: torch.Tensor,
    held: Collection[str],
) -> frozenset[str]:
    """Return the tail states that no step of this optimizer would use."""
    dtype = str(param.dtype).removeprefix("torch.")
    update = within(optimizer._rule_for(group), optimizer._tail).for_params(dtype)
    return unused(held, update, dtype)


def _own(value: torch.Tensor, mine: Any, device: torch.device) -> torch.Tensor:
    """Return a copy on a device, or the tensor itself if it is the optimizer's own."""
    if value is mine and value.device == device and not value.is_inference():
        return value
    return value.detach().to(device, copy=True)
