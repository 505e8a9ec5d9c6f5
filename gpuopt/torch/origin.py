"""Whose state dict it is, as far as its options and its states tell."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

_OF_ALL = frozenset({"params", "foreach", "capturable", "differentiable", "fused"})


class _Kind(NamedTuple):
    options: frozenset[str]
    states: frozenset[str]
    """Empty: not known."""


_KINDS: dict[str, _Kind] = {}


def know(kind: type, states: Iterable[str]) -> None:
    """Remember an optimizer by its name, with its options and the states that it may have."""
    theirs = getattr(torch.optim, kind.__name__, kind)
    if kind.__name__ == "AdamW":  # whose groups are Adam's
        theirs = torch.optim.Adam
    _KINDS[kind.__name__] = _Kind(_options(theirs), frozenset(states))


def options_of(name: str) -> frozenset[str]:
    """Return the options of an optimizer of ours, without the flags that all have."""
    return _KINDS[name].options


def likeliest(groups: Sequence[Mapping[str, Any]], states: Iterable[Mapping[str, Any]]) -> str:
    """Return the names of the optimizers that a state dict looks like one of, or nothing.

    >>> group = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0, "params": [0]}
    >>> likeliest([group], [])
    'Lion'
    """
    kinds = {**_of_torch(), **_KINDS}
    options = {name for kind in kinds.values() for name in kind.options}.intersection(*groups)
    known = {name for kind in kinds.values() for name in kind.states}
    named = known & {name for own in states for name in own}
    distances = {
        name: len(kind.options ^ options) + 2 * len(named - (kind.states or named))
        for name, kind in kinds.items()
        if len(kind.options & options) > 1  # all have a learning rate
    }
    nearest = [n for n, distance in distances.items() if distance == min(distances.values())]
    return " or ".join(_by_decay(nearest, groups))


def _by_decay(names: list[str], groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell Adam from AdamW, where the groups say how they decay."""
    said = [group.get("decoupled_weight_decay") for group in groups]
    others = {"Adam"} if all(x is True for x in said) else set()
    others |= {"AdamW"} if all(x is False for x in said) else set()
    return [name for name in names if not {"Adam", "AdamW"} <= set(names) or name not in others]


def _of_torch() -> dict[str, _Kind]:
    return {
        name: _Kind(_options(kind), frozenset())
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and name != "Optimizer"
    }


def _options(kind: type) -> frozenset[str]:
    parameters = inspect.signature(kind).parameters.values()
    tail = {"state_dtype", "norm_group"}
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return frozenset(names) - _OF_ALL - tail
