"""Checks that a state dict fits an optimizer: its class, groups, and the states' shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch

from ..optimizers.coded_dicts import formats_in, order_in
from ..rules.definitions import Definition
from .coded import check_coded, shape_of_codes, with_state
from .foreign_layouts import converter_for
from .known_optimizers import most_similar
from .missing_options import Group, drop_in_of, listed, missing_options, name_of
from .param_groups import CheckedParamGroups
from .state_values import checked_state, count_in, dtypes_in_state, number_in


def check_state_dict(
    optimizer: CheckedParamGroups, state_dict: Any
) -> list[tuple[Any, Group, torch.Tensor]]:
    """Check that an optimizer can load a state dict.

    Returns:
    For each parameter, its key and its group in the state dict, and the parameter. Empty if the
    sizes of the groups differ, since torch's ``load_state_dict`` then raises.

    Raises:
        TypeError, ValueError: it is not a state dict, or has another class or other parameters.
    """
    state_dict = with_state(state_dict)
    groups = _checked_groups(optimizer, state_dict)
    if list(map(_size, groups)) != list(map(_size, optimizer.param_groups)):
        return []
    saved = [(key, group) for group in groups for key in group["params"]]
    names, params = optimizer._param_names(), optimizer._params()
    formats, keys = state_dict.get("formats", {}), [key for key, _ in saved]
    unknown = [key for key in formats if key not in keys] if isinstance(formats, Mapping) else []
    if unknown:
        raise ValueError(f"state_dict: formats of the states of an unknown parameter {unknown[0]}")
    for name, (key, _), param in zip(names, saved, params):
        _check_states(optimizer, state_dict, name, key, param)
    return [(*pair, param) for pair, param in zip(saved, params)]


def _checked_groups(optimizer: CheckedParamGroups, state_dict: Any) -> list[dict[str, Any]]:
    """Return the groups of a state dict, with the options that torch adds to older ones."""
    expected = f"state_dict: expected that of {name_of(optimizer)}, with 'state' and 'param_groups'"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{expected}, got {type(state_dict).__name__}")
    if not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError(f"{expected}, got one with {listed(state_dict) or 'nothing'}")
    states, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(states, Mapping):
        raise TypeError(f"{expected}, got {type(states).__name__} as 'state'")
    if not isinstance(groups, Sequence) or not all(isinstance(g, Mapping) for g in groups):
        raise TypeError(f"{expected}, got {groups!r:.80} as 'param_groups'")
    added = _added_options(drop_in_of(optimizer))
    for i, group in enumerate(groups):
        if not hasattr(group.get("params"), "__len__"):
            raise ValueError(f"{expected}, got param_groups[{i}] without a list as 'params'")
        missing = missing_options(optimizer, {**added, **group})
        if missing:
            what = f"param_groups[{i}] without {listed(missing)}"
            raise ValueError(f"{_unlike(optimizer, state_dict)}: {what}")
        for option in optimizer._definition.options:
            value, count = group.get(option.name), len(option.ranges)
            if count > 1 and isinstance(value, Sequence) and len(value) != count:
                what = f"param_groups[{i}] with {value!r:.80} as {option.name!r}"
                raise ValueError(f"{_unlike(optimizer, state_dict)}: {what}")
    return [{**added, **group} for group in groups]


def _check_states(
    optimizer: CheckedParamGroups,
    state_dict: Mapping[str, Any],
    label: str,
    key: Any,
    param: torch.Tensor,
) -> None:
    """Check that a parameter's states are those of the class, and fit the parameter."""
    own = state_dict["state"].get(key, {})
    if not isinstance(own, Mapping):
        what = f"state_dict: state of {label}"
        raise TypeError(f"{what}: expected a dict, got {type(own).__name__}")
    given = {name for name, value in own.items() if value is not None}
    missing = _required_states(optimizer._definition, drop_in_of(optimizer)) - given
    if own and missing:
        what = f"state of {label} without {listed(sorted(missing))}"
        raise ValueError(f"{_unlike(optimizer, state_dict)}: {what}")
    formats = formats_in(state_dict, key)
    if formats.keys() - optimizer._state_names():
        raise ValueError(f"{_unlike(optimizer, state_dict)}: codes of {listed(formats)}")
    if formats:  # otherwise the parameter may have no shape yet
        check_coded(own, formats, param, f"state_dict: state of {label}")
        order_in(state_dict, key, shape_of_codes(param))
    for name in sorted(given & optimizer._state_names() - formats.keys()):
        what = f"state_dict: state {name!r} of {label}"
        _check_array(own[name], param, dtypes_in_state(name), what)
    for name in sorted(given & optimizer._carried_names()):
        number_in(own, name, label, "state_dict: ")
    if "step" in own:
        count_in(own, label, "state_dict: ")


def _check_array(array: Any, param: torch.Tensor, dtypes: Sequence[str], what: str) -> None:
    checked_state(array, param, what)
    if array.layout is not torch.strided:
        raise TypeError(f"{what}: expected a dense tensor, got layout {array.layout}")
    if not array.is_complex() and str(array.dtype).removeprefix("torch.") not in dtypes:
        raise TypeError(f"{what}: expected one of {', '.join(dtypes)}, got {array.dtype}")


def _unlike(optimizer: CheckedParamGroups, state_dict: Mapping[str, Any]) -> str:
    """Return the beginning of an error that names the most similar optimizer."""
    own, states = name_of(optimizer), state_dict["state"].values()
    dicts = [states_of_one for states_of_one in states if isinstance(states_of_one, Mapping)]
    rules = {group.get("rule") for group in state_dict["param_groups"]} - {None}
    theirs = most_similar(state_dict["param_groups"], dicts)
    if rules:
        theirs = " or ".join(f"Optimizer(rule={rule!r})" for rule in rules)
    if isinstance(state_dict.get("optimizer"), str):
        theirs = f"gpuopt.{state_dict['optimizer']}"
    converter = converter_for(own, state_dict["param_groups"])
    if converter:
        return (
            f"state_dict: expected that of {own}, got one for gpuopt.torch.{converter} to convert"
        )
    like = (
        f" that looks like that of {theirs}" if theirs and own not in theirs.split(" or ") else ""
    )
    return f"state_dict: expected that of {own}, got one{like}"


@cache
def _added_options(drop_in: Any) -> dict[str, Any]:
    """Return the options that a class adds to groups saved before it had them."""
    blank = drop_in.__new__(drop_in)
    groups: list[dict[str, Any]] = [{"params": []}]
    blank.__setstate__({"state": defaultdict(dict), "param_groups": groups, "defaults": {}})
    return {name: value for name, value in groups[0].items() if name != "params"}


@cache
def _required_states(definition: Definition, drop_in: Any) -> frozenset[str]:
    """Return the entries that a parameter's states, if any, have under all options.

    torch's classes read ``step`` among them while they load.
    """
    rules = definition.all_rules
    names = (frozenset((*rule.states, *rule.carried, *rule.shared)) for rule in rules)
    always = frozenset.intersection(*names)
    theirs = next(base for base in drop_in.__mro__ if base.__module__.startswith("torch.optim"))
    looked_for = theirs is not torch.optim.Optimizer or any(rule.reads_step for rule in rules)
    return always | {"step"} if definition.counts_steps and looked_for else always


def _size(group: Group) -> int:
    return len(group["params"])
