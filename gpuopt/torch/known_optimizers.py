"""The options and states of all optimizers, to identify the one that saved a state dict."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..optimizers.whole import OF_OPTIMIZERS, STATE_DTYPE

_IN_ALL = frozenset({"params", "foreach", "capturable", "differentiable", "fused"})


class _Optimizer(NamedTuple):
    options: frozenset[str]
    states: frozenset[str]
    """Empty if unknown."""


_DROP_INS: dict[str, _Optimizer] = {}


def register_optimizer(optimizer: type, states: Iterable[str]) -> None:
    """Register a drop-in by its name, with the states that its rules may have."""
    name = optimizer.__name__
    if name == "AdamW":  # whose groups have Adam's options
        theirs: type = torch.optim.Adam
    else:
        theirs = getattr(torch.optim, name, optimizer)
    _DROP_INS[name] = _Optimizer(_options(theirs), frozenset(states))


def most_similar(groups: Sequence[Mapping[str, Any]], states: Iterable[Mapping[str, Any]]) -> str:
    """Return the most similar optimizers to a state dict's, joined by "or"; "" if there are none.

    Args:
        groups: its ``param_groups``.
        states: the states of each parameter.

    >>> group = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0, "params": [0]}
    >>> most_similar([group], [])
    'Lion'
    """
    optimizers = {**_of_torch(), **_DROP_INS}
    known = {name for one in optimizers.values() for name in one.options}
    options = known.intersection(*groups)
    known_states = {name for one in optimizers.values() for name in one.states}
    named = known_states & {name for own in states for name in own}
    distances = {
        name: len(one.options ^ options) + 2 * len(named - (one.states or named))
        for name, one in optimizers.items()
        if len(one.options & options) > 1  # all have a learning rate
    }
    nearest = [n for n, distance in distances.items() if distance == min(distances.values())]
    return " or ".join(_by_decay(nearest, groups))


def _by_decay(names: list[str], groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Drop Adam or AdamW if both are in the list, and all groups say how they decay."""
    decoupled = [group.get("decoupled_weight_decay") for group in groups]
    dropped = {"Adam"} if all(x is True for x in decoupled) else set()
    dropped |= {"AdamW"} if all(x is False for x in decoupled) else set()
    return [name for name in names if not {"Adam", "AdamW"} <= set(names) or name not in dropped]


def _of_torch() -> dict[str, _Optimizer]:
    return {
        name: _Optimizer(_options(value), frozenset())
        for name, value in vars(torch.optim).items()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        and name != "Optimizer"
    }


def _options(optimizer: type) -> frozenset[str]:
    parameters = inspect.signature(optimizer).parameters.values()
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return frozenset(names) - _IN_ALL - OF_OPTIMIZERS - {STATE_DTYPE}
