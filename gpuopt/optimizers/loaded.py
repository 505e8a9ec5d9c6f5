"""Warnings of a load, if the saved states of a tail are not those that the optimizer uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..engine.tail import Tail
from ..messages.warn import warn

OPTIONS = {"ema": "ema_decay", "master": "master_weights", "kahan_comp": "kahan_sum"}
"""The states of a tail, and the option that makes each."""


def warn_of_tails(saved: Iterable[Any], kept: Iterable[Mapping[str, Any]], tail: Tail) -> None:
    """Warn of states of a tail that were not loaded, and of averages that start anew.

    Args:
        saved: the states of each parameter in the state dict.
        kept: the states of each parameter that were loaded.
        tail: of the optimizer that loaded them.
    """
    states = [own for own in saved if isinstance(own, Mapping) and not _is_new(own)]
    loaded = {name for own in kept for name in own}
    for name, option in OPTIONS.items():
        if name not in loaded and any(name in own for own in states):
            _warn(f"{name!r} was saved but is not loaded: {option} is not in use here")
    if tail.ema_decay is not None and any(own and "ema" not in own for own in states):
        _warn(
            "averages were not saved, but ema_decay is in use here: "
            "they start anew from the weights at the next step"
        )


def _is_new(own: Mapping[str, Any]) -> bool:
    step = own.get("step")
    return isinstance(step, int) and step == 0


def _warn(text: str) -> None:
    warn(f"load_state_dict: {text}")
