"""What a torch optimizer was configured with: its groups, and the options of the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from ..engine.tail import Tail
from ..optimizers.state_dicts import skipped_in
from ..optimizers.tail_methods import TailMethods
from ..optimizers.whole import OF_OPTIMIZERS, OptimizerOption
from .arguments import check_numbers
from .group_options import RANGES, Ranges, Whole, check_changed, check_group, names_in
from .shared import Shared

DIFFERENTIABLE = "differentiable: gpuopt's step cannot be differentiated, use torch.optim's"


class Configured(TailMethods, torch.optim.Optimizer):
    """The options of an optimizer, checked wherever they come from."""

    _ranges: ClassVar[Ranges] = RANGES
    """What its options accept."""

    norm_group = OptimizerOption("_norm_group")

    _tail = Shared(Tail())
    _state_dtype = Shared()
    _norm_group = Shared()
    _tail_at_first = Shared(Tail())
    """That of the constructor."""
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
            ValueError: a parameter is given twice, or ``differentiable=True``, or it is complex
                and ``state_dtype`` is bfloat16; or an option does not accept its value, or is one
                of the whole optimizer.
            TypeError: an option takes a number, and was given none.
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
        place = len(self.param_groups) - 1
        _check_numbers(place, {name: group[name] for name in self.defaults if name in group})
        self._check_all([group], place)
        self._look_at_names([group])

    def _check_groups(self) -> None:
        """Check all groups, where anybody may write."""
        self._check_all(self.param_groups)
        self._look_at_names(self.param_groups)

    def _check_changed(self, names: Sequence[str]) -> None:
        """Check the options that have changed in some group."""
        check_changed(self.param_groups, names, self._ranges, self._whole())

    def _check_all(self, groups: Sequence[Mapping[str, Any]], first: int = 0) -> None:
        whole = self._whole()
        for place, group in enumerate(groups, first):
            check_group(place, group, group, self._ranges, whole)

    def _look_at_names(self, groups: Sequence[Mapping[str, Any]]) -> None:
        self._names_known = names_in(groups, self.defaults, self._names_known)

    def _repeated(self) -> list[str]:
        """Return the options of the whole optimizer that groups repeat."""
        return sorted(self._names_known & OF_OPTIMIZERS)

    def _whole(self) -> Whole:
        """Return what groups may repeat: see `Whole`."""
        others = {"state_dtype": self._state_dtype, "norm_group": self._norm_group}
        return [{**vars(tail), **others} for tail in (self._tail, self._tail_at_first)]

    def _skipped_in(self, state_dict: Mapping[str, Any]) -> int | None:
        """Return how many skipped steps a state dict tells of, if its options are accepted."""
        try:
            self._check_all(state_dict.get("param_groups", ()))
        except ValueError as error:
            raise ValueError(f"state_dict: {error}") from None
        return skipped_in(state_dict)


def _check_numbers(place: int, options: Mapping[str, Any]) -> None:
    """Check those options of a group that are numbers, as the constructor checks its arguments."""
    try:
        check_numbers(options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"param_groups[{place}]: {error}") from None
