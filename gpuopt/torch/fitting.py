"""Whether a state dict fits an optimizer: it is of its class, with states like its parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from ..arrays import FLOATS
from ..optimizers.options import PAIRS
from ..rules.registry import RULES
from .origin import likeliest, options_of
from .state_values import checked_state, count_in, number_in

if TYPE_CHECKING:
    from .fused import Fused

Group = Mapping[str, Any]


def check_options(optimizer: Fused) -> None:
    """Raise unless the groups have the options that a step reads.

    Raises:
        ValueError: one is missing.
    """
    for i, group in enumerate(optimizer.param_groups):
        missing = _missing(optimizer, group)
        if missing and _lacks(optimizer, group):
            raise ValueError(
                f"param_groups[{i}]: expected the options of {name_of(optimizer)}, got a group "
                f"without {_listed(missing)}"
            )


def check(optimizer: Fused, state_dict: Any) -> list[tuple[Any, Group, torch.Tensor]]:
    """Raise unless a state dict fits an optimizer.

    Returns:
        Of each parameter its key in the state dict, its group there, and itself; nothing, if there
        are others, which torch has an error for.

    Raises:
        TypeError, ValueError: it is no state dict, or one of another class or other parameters.
    """
    groups = _checked_groups(optimizer, state_dict)
    if list(map(_size, groups)) != list(map(_size, optimizer.param_groups)):
        return []
    saved = [(place, group) for group in groups for place in group["params"]]
    labels, params = optimizer._param_names(), optimizer._params()
    for label, (place, _), param in zip(labels, saved, params):
        _check_states(optimizer, state_dict, label, place, param)
    return [(*pair, param) for pair, param in zip(saved, params)]


def _checked_groups(optimizer: Fused, state_dict: Any) -> list[dict[str, Any]]:
    """Return the groups of a state dict, with those options that torch gives to old ones."""
    expected = f"state_dict: expected one of {name_of(optimizer)}, with 'state' and 'param_groups'"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{expected}, got {type(state_dict).__name__}")
    if not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError(f"{expected}, got one with {_listed(state_dict) or 'nothing'}")
    states, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(states, Mapping):
        raise TypeError(f"{expected}, got {type(states).__name__} as 'state'")
    if not isinstance(groups, Sequence) or not all(isinstance(g, Mapping) for g in groups):
        raise TypeError(f"{expected}, got {groups!r:.80} as 'param_groups'")
    filled = _filled(_base(optimizer))
    for i, group in enumerate(groups):
        if not hasattr(group.get("params"), "__len__"):
            raise ValueError(f"{expected}, got param_groups[{i}] without a list as 'params'")
        missing = _missing(optimizer, {**filled, **group})
        if missing:
            what = f"param_groups[{i}] without {_listed(missing)}"
            raise ValueError(f"{_unlike(optimizer, state_dict)}: {what}")
    return [{**filled, **group} for group in groups]


def _check_states(
    optimizer: Fused, state_dict: Mapping[str, Any], label: str, place: Any, param: torch.Tensor
) -> None:
    """Raise unless a parameter's states are those of its class, and like itself."""
    own = state_dict["state"].get(place, {})
    if not isinstance(own, Mapping):
        what = f"state_dict: state of {label}"
        raise TypeError(f"{what}: expected a dict, got {type(own).__name__}")
    present = {name for name, value in own.items() if value is not None}
    missing = _needed(_base(optimizer)) - present
    if own and missing:
        what = f"state of {label} without {_listed(sorted(missing))}"
        raise ValueError(f"{_unlike(optimizer, state_dict)}: {what}")
    for name in sorted(present & optimizer._names_of("states")):
        _check_array(own[name], param, f"state_dict: state {name!r} of {label}")
    for name in sorted(present & optimizer._names_of("carried")):
        number_in(own, name, label, "state_dict: ")
    if "step" in own:
        count_in(own, label, "state_dict: ")


def name_of(optimizer: Fused) -> str:
    """Return the name of an optimizer's class: of ours, for what others made of it."""
    return str(_base(optimizer).__name__)


def _check_array(array: Any, param: torch.Tensor, what: str) -> None:
    checked_state(array, param, what)
    if array.layout is not torch.strided:
        raise TypeError(f"{what}: expected a dense tensor, got layout {array.layout}")
    if not array.is_complex() and str(array.dtype).removeprefix("torch.") not in FLOATS:
        raise TypeError(f"{what}: expected one of {', '.join(FLOATS)}, got {array.dtype}")


def _unlike(optimizer: Fused, state_dict: Mapping[str, Any]) -> str:
    """Return the beginning of an error, which says whose state dict it seems to be."""
    own, states = name_of(optimizer), state_dict["state"].values()
    known = [held for held in states if isinstance(held, Mapping)]
    theirs = likeliest(state_dict["param_groups"], known)
    if isinstance(state_dict.get("optimizer"), str):
        theirs = f"gpuopt.{state_dict['optimizer']}"
    like = f" that looks like one of {theirs}" if theirs and own not in theirs.split(" or ") else ""
    return f"state_dict: expected one of {own}, got one{like}"


class _Read(dict[str, Any]):
    """Options, and which of those that were asked for are missing."""

    def __init__(self, group: Group, defaults: Group) -> None:
        """Take a group, and what stands in for a missing option."""
        super().__init__(group)
        self._defaults = defaults
        self.missing: list[str] = []

    def __missing__(self, name: str) -> Any:
        """Return the default."""
        self.missing.append(name)
        return self._defaults.get(name)


def _missing(optimizer: Fused, group: Group) -> list[str]:
    """Return the options of its class that a group lacks."""
    known = options_of(name_of(optimizer)) & optimizer.defaults.keys()
    return [name for name in optimizer.defaults if name in known - group.keys()]


def _lacks(optimizer: Fused, group: Group) -> bool:
    """Whether a group lacks an option that a step reads."""
    read = _Read(group, optimizer.defaults)
    rule = RULES[optimizer._rule(read)]
    asked = (*rule.hyperparameters, *rule.initial.values(), "weight_decay", "maximize")
    named = {*read.missing, *(torchs_name(optimizer, name).partition("[")[0] for name in asked)}
    return not named & optimizer.defaults.keys() <= group.keys()


def torchs_name(optimizer: Fused, name: str) -> str:
    """Return what torch calls an option of a rule: ``betas[0]`` for beta1."""
    for pair, names in PAIRS.items():
        if name in names and pair in optimizer.defaults:
            return f"{pair}[{names.index(name)}]"
    return optimizer._names.get(name, name)


def _base(optimizer: Fused) -> Any:
    """Return the class of ours that an optimizer's is, or is made of."""
    return next(kind for kind in type(optimizer).__mro__ if "_rules" in vars(kind))


@cache
def _filled(kind: Any) -> dict[str, Any]:
    """Return the options that a class gives to groups that were saved before it had them."""
    blank = kind.__new__(kind)
    groups: list[dict[str, Any]] = [{"params": []}]
    blank.__setstate__({"state": defaultdict(dict), "param_groups": groups, "defaults": {}})
    return {name: value for name, value in groups[0].items() if name != "params"}


@cache
def _needed(kind: Any) -> frozenset[str]:
    """Return the entries that a parameter's states have, whatever the options are, if it has any.

    torch looks for the numbers among them while it loads.
    """
    rules = [RULES[name] for name in kind._rules]
    always = frozenset.intersection(*(frozenset((*r.states, *r.carried)) for r in rules))
    theirs = next(base for base in kind.__mro__ if base.__module__.startswith("torch.optim"))
    counts = kind._counts and theirs is not torch.optim.Optimizer
    return always | {"step"} if counts else always


def _size(group: Group) -> int:
    return len(group["params"])


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names))
