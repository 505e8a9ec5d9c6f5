"""``param_groups`` and the options of the whole optimizer, checked wherever they are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..engine.tail import Tail
from ..optimizers.loaded import OF_TAILS
from ..optimizers.state_dicts import skipped_in
from ..optimizers.tail_methods import TailMethods
from ..optimizers.whole import OF_OPTIMIZERS, STATE_DTYPE, OptimizerOption
from ..rules.definitions import Definition
from ..rules.registry import Rule
from ..rules.rounding import SEED
from .arguments import check_no_duplicates, check_numbers
from .group_options import Whole, check_changed, check_group, checked_for, names_in, torch_ranges
from .shared_attributes import Shared

DIFFERENTIABLE = "differentiable: gpuopt's step cannot be differentiated, use torch.optim's"


class CheckedParamGroups(TailMethods, torch.optim.Optimizer):
    """Groups whose options are checked in the constructor, when added, and when they change."""

    _definition: Definition
    """The definition of the class; `by_rule.Optimizer` has one for each object."""

    norm_group = OptimizerOption("_norm_group")

    _tail = Shared(Tail())
    _state_dtype = Shared()
    _norm_group = Shared()
    _tail_at_first = Shared(Tail())
    """The tail that the constructor made."""
    _checked_names = Shared(frozenset())
    """The names in groups that have been checked for misspelt ones."""

    @property
    def tail(self) -> Tail:
        """The options of the tail; `change` changes its numbers."""
        tail: Tail = self._tail  # not the step's: reading it must not create a step
        return tail

    def _rule_for(self, group: Mapping[str, Any]) -> Rule:
        """Return the rule selected by a group's options."""
        definition = self._definition
        # An older torch lacks some of the options that select the rule.
        return definition.rule_for(
            {name: name in self.defaults and group[name] for name in definition.choices}
        )

    def _state_names(self) -> frozenset[str]:
        """Return the names of the states of all its rules, and of the tail's."""
        return self._definition.state_names | OF_TAILS

    def _carried_names(self) -> frozenset[str]:
        """Return the names of the carried numbers."""
        return self._definition.carried_names | {SEED}

    def _params(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _param_names(self) -> list[str]:
        """Return the name of each parameter for error messages: its own, if it has one."""
        names: list[str] = []
        for group in self.param_groups:
            own = group.get("param_names")
            names += own or [f"params[{len(names) + i}]" for i in range(len(group["params"]))]
        return names

    def _whole_options(self) -> dict[str, Any]:
        given = {"norm_group": self.norm_group} if self.norm_group is not None else {}
        return {**super()._whole_options(), **given}

    def __repr__(self) -> str:
        """Return torch's representation, with the options of the whole optimizer below it."""
        options = [f"    {name}: {value}\n" for name, value in self._whole_options().items()]
        shown: str = super().__repr__()
        if not options:
            return shown
        return f"{shown.removesuffix(')')}All Parameter Groups\n{''.join(options)})"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does.

        Raises:
            ValueError: a parameter is given twice; ``differentiable`` is True; ``state_dtype`` is
                bfloat16 and a parameter is complex; a value is not accepted; or an option belongs
                to the whole optimizer.
            TypeError: an option that takes a number is not one.
        """
        with self._locked():
            super().add_param_group(param_group)
            try:
                self._check_group(self.param_groups[-1])
            except BaseException:  # a warning that is an error, too
                self.param_groups.pop()
                raise

    def _check_group(self, group: Mapping[str, Any]) -> None:
        if group.get("differentiable"):
            raise ValueError(DIFFERENTIABLE)
        check_no_duplicates(group["params"])
        if STATE_DTYPE not in group:
            checked_for(self._state_dtype, group["params"])
        index = len(self.param_groups) - 1
        own = {name: group[name] for name in self.defaults if name in group}
        _check_numbers(self._definition, index, own)
        self._check_all([group], index)
        self._check_names([group])

    def _check_groups(self) -> None:
        """Check all groups: they are plain dicts, which any code may change."""
        self._check_all(self.param_groups)
        self._check_names(self.param_groups)

    def _check_changed(self, names: Sequence[str]) -> None:
        """Check the options that have changed in some group."""
        check_changed(self.param_groups, names, torch_ranges(self._definition), self._whole())
        if list(names) != ["lr"]:
            for index, group in enumerate(self.param_groups):
                self._check_combination(index, group)

    def _check_all(self, groups: Sequence[Mapping[str, Any]], first: int = 0) -> None:
        whole, ranges = self._whole(), torch_ranges(self._definition)
        for index, group in enumerate(groups, first):
            check_group(index, group, group, ranges, whole)
            self._check_combination(index, group)

    def _check_combination(self, index: int, group: Mapping[str, Any]) -> None:
        """Check that the options of a group do not exclude each other."""
        definition = self._definition
        if definition.check is None:
            return
        try:
            definition.check({**definition.defaults, **group})
        except ValueError as error:
            raise ValueError(f"param_groups[{index}]: {error}") from None

    def _check_names(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Warn of misspelt names in groups, once each."""
        self._checked_names = names_in(groups, self.defaults, self._checked_names)

    def _repeated(self) -> list[str]:
        """Return the options of the whole optimizer that groups have, too."""
        return sorted(self._checked_names & {*OF_OPTIMIZERS, STATE_DTYPE})

    def _state_dtypes(self) -> list[str | None]:
        """Return the dtype of the states of each group."""
        return [group.get(STATE_DTYPE, self._state_dtype) for group in self.param_groups]

    def _whole(self) -> Whole:
        """Return the values of the whole optimizer's options that groups may repeat."""
        others = {"norm_group": self._norm_group}
        return [{**vars(tail), **others} for tail in (self._tail, self._tail_at_first)]

    def _skipped_in(self, state_dict: Mapping[str, Any]) -> int | None:
        """Return the number of skipped steps in a state dict, or None if there is none.

        Raises:
            ValueError: that is not a count, or an option of a group is not accepted.
        """
        try:
            self._check_all(state_dict.get("param_groups", ()))
        except ValueError as error:
            raise ValueError(f"state_dict: {error}") from None
        return skipped_in(state_dict)


def _check_numbers(definition: Definition, index: int, options: Mapping[str, Any]) -> None:
    """Check the options of a group that are numbers, as the constructor checks its arguments."""
    try:
        check_numbers(definition, options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"param_groups[{index}]: {error}") from None
