"""Detect arrays that the caller has replaced in the lists and dicts passed to an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence, ValuesView
from itertools import chain
from operator import is_, itemgetter
from typing import Any

import numpy as np

from ..arrays import describe, is_torch_tensor
from .params import Structure

_MISSING = object()
_PARAMS = itemgetter("params")


class WatchedContainers:
    """The caller's lists and dicts, and the arrays that were in them.

    A caller who replaces an array expects the optimizer to update the new one, but it would keep
    updating the old one. Iterators, and containers that create new objects at each access, are
    not watched.
    """

    __slots__ = (
        "_containers",
        "_given",
        "_groups",
        "_known",
        "_live",
        "_names",
        "_paths",
        "_unsure",
    )

    def __init__(self, params: Any, structure: Structure, arrays: Sequence[Any]) -> None:
        """Remember the containers and their members.

        Args:
            params: what the caller gave.
            structure: its structure, as `params.parse` returns it.
            arrays: the arrays in it, in order.
        """
        self._given = params
        self._groups = list(params) if structure.grouped else []
        self._containers = list(map(_PARAMS, self._groups))
        self._live: list[Iterable[Any]] = []
        self._known: list[Any] = []
        self._paths: list[tuple[Any, ...]] = []
        self._names: list[str] = []
        start = 0
        for i, members in enumerate(structure.groups):
            keys = range(members) if isinstance(members, int) else members
            own = slice(start, start := start + len(keys))
            container = self._containers[i] if structure.grouped else params
            members_now = container.values() if isinstance(container, Mapping) else container
            if _has_members(members_now, arrays[own]):
                self._live.append(members_now)
                self._known += arrays[own]
                path = (i, "params") if structure.grouped else ()
                self._paths += [(*path, key) for key in keys]
                self._names += structure.names[own]
        unsure = [i for i, array in enumerate(self._known) if _may_equal_another(array)]
        self._unsure = itemgetter(0, 0, *unsure)  # with at least two items, it returns a tuple

    def check(self) -> None:
        """Check that no member has been replaced by another array.

        Members may be added or removed: the optimizer has its own list.

        Raises:
            ValueError: one has been replaced.
        """
        known, live = self._known, self._live
        if not known:
            return
        try:  # list equality compares identities first, in C: for 500 arrays ten times faster
            now = list(live[0] if len(live) == 1 else chain.from_iterable(live))
            same = (
                now == known
                and all(map(is_, self._unsure(now), self._unsure(known)))
                and list(map(_PARAMS, self._groups)) == self._containers
                and (not self._groups or [*self._given] == self._groups)
            )
        except Exception:  # comparing the arrays of other libraries may raise anything
            same = False
        if not same:
            self._check_members()

    def _check_members(self) -> None:
        """Check the members one by one; another object with the same memory is accepted."""
        for i, path in enumerate(self._paths):
            found = self._given
            for key in path:
                found = _member(found, key)
            if found is self._known[i] or found is _MISSING:
                continue
            if not _same_memory(found, self._known[i]):
                raise ValueError(
                    f"{self._names[i]}: no longer the array that the optimizer was given and still "
                    "updates: write into that array (array[...] = values) or make a new optimizer; "
                    "to use the container for something else, give the optimizer a copy of it"
                )
            self._known[i] = found


def _has_members(container: Any, arrays: Sequence[Any]) -> bool:
    """Whether a container, or a dict's view of values, returns these same objects each time."""
    if not isinstance(container, (tuple, MutableSequence, ValuesView)):
        return False
    members = list(container)
    return len(members) == len(arrays) and all(map(is_, members, arrays))


def _may_equal_another(array: Any) -> bool:
    """Whether ``array == another`` may be True: with several elements it is an array."""
    several = (
        array.numel() if is_torch_tensor(array) else array.size if type(array) is np.ndarray else 0
    )
    return bool(several < 2)


def _member(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except (IndexError, KeyError, TypeError):
        return _MISSING


def _same_memory(one: Any, other: Any) -> bool:
    try:
        return describe(one, "") == describe(other, "")
    except (TypeError, ValueError):
        return False
