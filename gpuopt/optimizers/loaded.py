"""What a load says where what was saved and what is kept of a tail are not the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..engine.tail import Tail
from ..messages.warn import warn

OPTIONS = {"ema": "ema_decay", "master": "master_weights", "kahan_comp": "kahan_sum"}
"""The states of a tail, and the option that each comes from."""


def warn_of_tails(saved: Iterable[Any], kept: Iterable[Mapping[str, Any]], tail: Tail) -> None:
    """Warn of states of a tail that are left out, and of averages that begin anew.

    Args:
        saved: of each parameter, the states in a state dict.
        kept: of each parameter, those that were loaded.
        tail: of the optimizer that loaded them.
    """
    states = [own for own in saved if isinstance(own, Mapping) and not _is_new(own)]
    held = {name for own in kept for name in own}
    for name, option in OPTIONS.items():
        if name not in held and any(name in own for own in states):
            _warn(f"{name!r} was saved, and is left out: {option} is not in use here")
    if tail.ema_decay is not None and any(own and "ema" not in own for own in states):
        _warn(
            "averages were not saved, and ema_decay is in use here: "
            "they begin anew, as the weights are at the next step"
        )


def _is_new(own: Mapping[str, Any]) -> bool:
    step = own.get("step")
    return isinstance(step, int) and step == 0


def _warn(text: str) -> None:
    warn(f"load_state_dict: {text}")
