"""The structure of the parameters: a list, a dict of named arrays, or a list of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..messages.suggest import counted

Key = int | str


@dataclass(frozen=True)
class Structure:
    """The structure of the parameters, which gradients share.

    Attributes:
        grouped: whether the arrays were given as a list of groups.
        groups: for each group, the names of its arrays (a dict) or their number (a list).
        keys: of every array, in order: its name, or its index among all arrays.
        names: of every array, for error messages.
        group_of: the index of every array's group.
    """

    grouped: bool
    groups: tuple[tuple[str, ...] | int, ...]
    keys: tuple[Key, ...]
    names: tuple[str, ...]
    group_of: tuple[int, ...]

    def flatten(self, grads: Any) -> list[Any]:
        """Return the gradients in the order of the arrays.

        Raises:
            TypeError, ValueError: their structure is not that of the parameters.
        """
        if not self.grouped:
            return _flatten_group(grads, self.groups[0], "grads")
        if not isinstance(grads, (list, tuple)) or len(grads) != len(self.groups):
            error = ValueError if isinstance(grads, (list, tuple)) else TypeError
            raise error(
                f"grads: expected a list of {len(self.groups)} groups of gradients, "
                f"got {_shown(grads)}"
            )
        flat: list[Any] = []
        for i, (group, members) in enumerate(zip(grads, self.groups)):
            flat += _flatten_group(group, members, f"grads[{i}]")
        return flat

    def unflatten(self, values: Sequence[Any]) -> Any:
        """Return values, one for each array in order, in the structure of the parameters."""
        rest = iter(values)
        made: list[Any] = []
        for members in self.groups:
            if isinstance(members, int):
                made.append([next(rest) for _ in range(members)])
            else:
                made.append({name: next(rest) for name in members})
        return made if self.grouped else made[0]


def parse(params: Any) -> tuple[Structure, list[Any], list[dict[str, Any]]]:
    """Return the structure of ``params``, the arrays in order, and the options of each group.

    Raises:
        TypeError: it is none of the three structures.
        ValueError: a list or dict is empty, or a name is given twice.
    """
    grouped = isinstance(params, (list, tuple)) and any(isinstance(p, Mapping) for p in params)
    groups = [_group(g, i) for i, g in enumerate(params)] if grouped else [{"params": params}]
    members: list[tuple[str, ...] | int] = []
    keys: list[Key] = []
    names: list[str] = []
    group_of: list[int] = []
    arrays: list[Any] = []
    for i, group in enumerate(groups):
        inside = f"params[{i}]['params']" if grouped else "params"
        own = _members(group["params"], inside)
        members.append(tuple(map(str, own)) if isinstance(group["params"], Mapping) else len(own))
        for key, array in own.items():
            keys.append(key if isinstance(key, str) else len(arrays))
            names.append(f"{inside}[{key!r}]")
            group_of.append(i)
            arrays.append(array)
    _check_keys(keys)
    options = [{k: v for k, v in group.items() if k != "params"} for group in groups]
    structure = Structure(grouped, tuple(members), tuple(keys), tuple(names), tuple(group_of))
    return structure, arrays, options


def _group(group: Any, i: int) -> Mapping[str, Any]:
    if not isinstance(group, Mapping) or "params" not in group:
        raise TypeError(f"params[{i}]: expected a group, a dict with 'params', got {_shown(group)}")
    return group


def _members(params: Any, name: str) -> dict[Key, Any]:
    if isinstance(params, Mapping):
        wrong = [key for key in params if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"{name}: expected names as keys, got {wrong[0]!r}")
        members: dict[Key, Any] = dict(params)
    elif not _is_listlike(params):
        raise TypeError(f"{name}: expected a list or a dict of arrays, got {_shown(params)}")
    else:
        members = dict(enumerate(params))
    if not members:
        raise ValueError(f"{name}: expected at least one array, got none")
    return members


def _is_listlike(params: Any) -> bool:
    """Whether it can be a list of arrays: not an array itself, and not a set."""
    array = hasattr(params, "__array_interface__") or hasattr(params, "__dlpack__")
    other = isinstance(params, (str, bytes, set, frozenset))
    return hasattr(params, "__iter__") and not (array or other)


def _check_keys(keys: Sequence[Key]) -> None:
    seen: set[str] = set()
    for key in keys:
        if str(key) in seen:
            raise ValueError(f"params: the name {str(key)!r} is given twice")
        seen.add(str(key))


def _flatten_group(grads: Any, members: tuple[str, ...] | int, name: str) -> list[Any]:
    if isinstance(members, int):
        expected = counted(members, "gradient")
        if not isinstance(grads, (list, tuple)):
            raise TypeError(f"{name}: expected a list of {expected}, got {_shown(grads)}")
        if len(grads) != members:
            raise ValueError(f"{name}: expected {expected}, got {len(grads)}")
        return list(grads)
    if not isinstance(grads, Mapping):
        raise TypeError(f"{name}: expected a dict of gradients, got {_shown(grads)}")
    if set(grads) != set(members):
        missing = [key for key in members if key not in grads]
        unknown = [key for key in grads if key not in members]
        raise ValueError(
            f"{name}: expected the keys of the parameters; missing {missing}, unknown {unknown} "
            "(None stands for no gradient)"
        )
    return [grads[key] for key in members]


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple, Mapping)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
