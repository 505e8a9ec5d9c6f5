"""What a torch optimizer was configured with: its groups, and the options of the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from ..state_dicts import skipped_in
from ..surroundings import Surroundings
from ..tail import Tail
from ..whole import OptimizerOption
from .group_options import RANGES, Ranges, check_changes, check_names, check_saved, check_values
from .shared import Shared

DIFFERENTIABLE = "differentiable: gpuopt's step cannot be differentiated, use torch.optim's"


class Configured(Surroundings, torch.optim.Optimizer):
    """The options of an optimizer, checked wherever they come from."""

    _ranges: ClassVar[Ranges] = RANGES
    """What its options accept."""

    norm_group = OptimizerOption("_norm_group")

    _tail = Shared(Tail())
    _state_dtype = Shared()
    _norm_group = Shared()
    _names_known = Shared(frozenset())
    """The names in groups that have been looked at."""

    @property
    def tail(self) -> Tail:
        """What surrounds the update; `change` changes its numbers."""
        tail: Tail = self._tail  # of no engine: asking makes none
        return tail

    def _whole_options(self) -> dict[str, Any]:
        given = {"norm_group": self.norm_group} if self.norm_group is not None else {}
        return {**super()._whole_options(), **given}

    def __repr__(self) -> str:
        """Show what torch shows, and the options of the whole optimizer."""
        options = [f"    {name}: {value}\n" for name, value in self._whole_options().items()]
        shown: str = super().__repr__()
        if not options:
            return shown
        return f"{shown.removesuffix(')')}All Parameter Groups\n{''.join(options)})"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does.

        Raises:
            TypeError: an option of the whole optimizer stands in the group.
            ValueError: a parameter is given twice, or ``differentiable=True``, or it is complex
                and ``state_dtype`` is bfloat16; or an option does not accept its value.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except BaseException:  # of a warning, too
            self.param_groups.pop()
            raise

    def _check_group(self, group: Mapping[str, Any]) -> None:
        if group.get("differentiable"):
            raise ValueError(DIFFERENTIABLE)
        if len({id(p) for p in group["params"]}) != len(group["params"]):
            raise ValueError("params: a parameter is given twice")
        if self._state_dtype == "bfloat16" and any(p.is_complex() for p in group["params"]):
            raise ValueError("state_dtype: expected another than 'bfloat16' for complex parameters")
        place, names = len(self.param_groups) - 1, list(self.defaults)
        self._names_known = check_names([group], names, self._names_known, place)
        try:
            check_values(group, names, self._ranges)
        except ValueError as error:
            raise ValueError(f"param_groups[{place}]: {error}") from None

    def _check_groups(self, before: Sequence[Any], now: Sequence[Any]) -> None:
        """Check what has changed in the groups, where anybody may write."""
        groups, names, known = self.param_groups, list(self.defaults), self._names_known
        if not before or before[-1] != now[-1]:
            self._names_known = check_names(groups, names, known, 0)
        check_changes(groups, names, self._ranges, before[:-2], now)

    def _skipped_in(self, state_dict: Mapping[str, Any]) -> int | None:
        """Return how many skipped steps a state dict tells of, if its options are accepted."""
        check_saved(state_dict, list(self.defaults), self._ranges)
        return skipped_in(state_dict)
