"""What stands in an optimizer's ``state``, where anybody may write: checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..optimizers.state_dicts import LAST_STEP


def checked_state(array: Any, param: torch.Tensor, what: str) -> torch.Tensor:
    """Return a state, if it is like its parameter.

    Raises:
        TypeError, ValueError: it is no tensor, of another shape, or real beside a complex one.
    """
    if not isinstance(array, torch.Tensor):
        raise TypeError(f"{what}: expected a tensor, got {array!r:.80}")
    if array.shape != param.shape:
        raise ValueError(f"{what}: expected shape {tuple(param.shape)}, got {tuple(array.shape)}")
    if array.is_complex() != param.is_complex():
        kind = "a complex" if param.is_complex() else "a real"
        raise ValueError(f"{what}: expected {kind} tensor, as its parameter is, got {array.dtype}")
    return array


def number_in(own: Mapping[str, Any], name: str, whose: str, of: str = "") -> float:
    """Return a number of a parameter's states; waits for its device.

    Args:
        own: the states.
        name: the number's.
        whose: what errors call the parameter.
        of: what errors say first.

    Raises:
        TypeError: it is none.
    """
    try:
        return float(own[name])
    except (TypeError, ValueError, RuntimeError):  # the last: of a tensor with more elements
        raise TypeError(
            f"{of}state {name!r} of {whose}: expected a number, got {own[name]!r:.80}"
        ) from None


def count_in(own: Mapping[str, Any], whose: str, of: str = "") -> int:
    """Return the step count of a parameter's states; the arguments are `number_in`'s.

    Raises:
        TypeError, ValueError: it is none.
    """
    number = number_in(own, "step", whose, of)
    if not (0 <= number < LAST_STEP and number.is_integer()):
        raise ValueError(f"{of}state 'step' of {whose}: expected a count, got {own['step']!r:.80}")
    return int(number)
