"""Split a state dict of one optimizer into those of one optimizer per parameter, and merge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..optimizers.coded_dicts import CODED_STATE
from .coded import with_state

OF_GROUPS = ("params", "param_names")
"""The entries of a group that are not options."""

_BY_PARAM = ("state", CODED_STATE, "formats", "orders")
"""The parts of a state dict that have an entry for each parameter."""


def parts_of(state_dict: Any, param_groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the state dict of each parameter.

    Args:
        state_dict: the state dict of all parameters.
        param_groups: the groups of the optimizer that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict, or has other groups.
    """
    expected = "state_dict: expected that of an optimizer, with 'state' and 'param_groups'"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{expected}, got {type(state_dict).__name__}")
    groups = state_dict.get("param_groups")
    if not isinstance(with_state(state_dict).get("state"), Mapping) or not isinstance(groups, list):
        raise ValueError(f"{expected}, got one with {', '.join(map(str, state_dict)) or 'nothing'}")
    counts = [len(g["params"]) if isinstance(g, Mapping) and "params" in g else 0 for g in groups]
    own_counts = [len(group["params"]) for group in param_groups]
    if counts != own_counts:
        raise ValueError(
            f"state_dict: expected groups of {own_counts} parameters, got groups of {counts}"
        )
    return [_part(state_dict, group, key) for group in groups for key in group["params"]]


def _part(state_dict: Mapping[str, Any], group: Mapping[str, Any], key: Any) -> dict[str, Any]:
    options = {name: value for name, value in group.items() if name not in OF_GROUPS}
    rest = {n: v for n, v in state_dict.items() if n not in (*_BY_PARAM, "param_groups")}
    parts = {}
    for name in _BY_PARAM:
        entries = state_dict.get(name)
        if entries is not None:
            own = isinstance(entries, Mapping) and key in entries
            parts[name] = {0: entries[key]} if own else {}
    return {**rest, **parts, "param_groups": [{**options, "params": [0]}]}


def merged(saved: Mapping[str, Any], singles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a state dict of all parameters with the codes from each parameter's own.

    Args:
        saved: the state dict with values.
        singles: the state dict of each parameter, in the order of the keys.
    """
    coded = [single for single in singles if CODED_STATE in single]
    if not coded:
        return dict(saved)
    found: dict[str, Any] = {CODED_STATE: {}, "param_groups": saved["param_groups"]}
    for key, single in enumerate(singles):
        own = with_state(single)
        for name, part in ((CODED_STATE, "state"), ("formats", "formats"), ("orders", "orders")):
            if 0 in own.get(part, {}):
                found.setdefault(name, {})[key] = own[part][0]
    return {**found, "formats_version": coded[0]["formats_version"]}
