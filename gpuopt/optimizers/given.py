"""The containers that the arrays came in: who rebinds a member would go on training the old one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence, ValuesView
from itertools import chain
from operator import is_, itemgetter
from typing import Any

import numpy as np

from ..arrays import describe, is_torchs
from .params import Structure

_MISSING = object()
_PARAMS = itemgetter("params")


class Given:
    """The caller's lists and dicts, and the arrays that were in them.

    Iterators are not watched, nor containers that make new objects whenever somebody looks into
    them.
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
        """Note what is where.

        Args:
            params: what the caller gave.
            structure: what `params.parse` made of it.
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
            places = slice(start, start := start + len(keys))
            container = self._containers[i] if structure.grouped else params
            held = container.values() if isinstance(container, Mapping) else container
            if _are(held, arrays[places]):
                self._live.append(held)
                self._known += arrays[places]
                path = (i, "params") if structure.grouped else ()
                self._paths += [(*path, key) for key in keys]
                self._names += structure.names[places]
        unsure = [i for i, array in enumerate(self._known) if _may_equal_another(array)]
        self._unsure = itemgetter(0, 0, *unsure)  # of two at least, it makes a tuple

    def check(self) -> None:
        """Raise ValueError if another array stands where the optimizer's was given.

        Members that were added or taken out change nothing: the optimizer has its own list.
        """
        known, live = self._known, self._live
        if not known:
            return
        try:  # lists compare identities first, in C: for 500 arrays ten times as fast as `is`
            now = list(live[0] if len(live) == 1 else chain.from_iterable(live))
            same = (
                now == known
                and all(map(is_, self._unsure(now), self._unsure(known)))
                and list(map(_PARAMS, self._groups)) == self._containers
                and (not self._groups or [*self._given] == self._groups)
            )
        except Exception:  # whatever a library raises where another array is no plain True or False
            same = False
        if not same:
            self._look()

    def _look(self) -> None:
        for i, path in enumerate(self._paths):
            found = self._given
            for key in path:
                found = _member(found, key)
            if found is self._known[i] or found is _MISSING:
                continue
            if not _same_memory(found, self._known[i]):
                raise ValueError(
                    f"{self._names[i]}: no longer the array that the optimizer was given, and "
                    "updates: write into that one (array[...] = values), or make a new optimizer; "
                    "if the container is for something else now, give the optimizer a copy of it"
                )
            self._known[i] = found


def _are(held: Any, arrays: Sequence[Any]) -> bool:
    """Whether these are the members of a container, or of a view of values, at each look."""
    if not isinstance(held, (tuple, MutableSequence, ValuesView)):
        return False
    members = list(held)
    return len(members) == len(arrays) and all(map(is_, members, arrays))


def _may_equal_another(array: Any) -> bool:
    """Whether ``array == another`` may be a plain True: of several elements, it is none."""
    several = array.numel() if is_torchs(array) else array.size if type(array) is np.ndarray else 0
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
