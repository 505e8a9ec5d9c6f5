"""Warnings when loading a tail's states that differ from those that the optimizer uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..arrays.scalars import number_or_value
from ..engine.masters import KINDS, source_kind
from ..engine.tail import Tail
from ..engine.update import Update
from ..messages.warn import warn
from ..rules.split import MASTER, REMAINDER

OPTIONS = {
    "ema": "ema_decay",
    MASTER: "master_weights",
    REMAINDER: "master_weights",
    "kahan_comp": "kahan_sum",
}
"""The states of a tail, and the option that creates each."""


OF_TAILS = frozenset(OPTIONS)
"""The states that a tail may have."""


def unused(held: Collection[str], update: Update, params: str) -> frozenset[str]:
    """Return tail states that no step would update or convert to another kind of masters.

    Args:
        held: the saved states of a parameter.
        update: the update of such parameters in the optimizer that loads them.
        params: the dtype of the parameter.
    """
    kind = source_kind(held, update.states, params)
    masters = frozenset() if kind is None else frozenset({kind})
    return OF_TAILS - (frozenset(update.states) - frozenset(KINDS)) - masters


def warn_of_tails(saved: Iterable[Any], kept: Iterable[Mapping[str, Any]], tail: Tail) -> None:
    """Warn of tail states that were not loaded, and of averages that start again.

    Args:
        saved: the states of each parameter in the state dict.
        kept: the states of each parameter that were loaded.
        tail: the tail of the optimizer that loaded them.
    """
    states = [own for own in saved if isinstance(own, Mapping) and not _is_new(own)]
    loaded = {name for own in kept for name in own}
    for name, option in OPTIONS.items():
        same = {other for other, its in OPTIONS.items() if its == option}
        if not loaded & same and any(name in own for own in states):
            _warn(f"{name!r} was saved but is not loaded: {_why(option, tail)}")
    if tail.ema_decay is not None and any(own and "ema" not in own for own in states):
        _warn(
            "averages were not saved, but ema_decay is in use here: "
            "they start anew from the weights at the next step"
        )


def _why(option: str, tail: Tail) -> str:
    if option == OPTIONS[REMAINDER] and tail.master_weights:
        return f"no parameter here needs what it was saved for, {option} start from the parameters"
    return f"{option} is not in use here"


def _is_new(own: Mapping[str, Any]) -> bool:
    step = own.get("step")
    return step is not None and number_or_value(step) == 0.0


def _warn(text: str) -> None:
    warn(f"load_state_dict: {text}")
