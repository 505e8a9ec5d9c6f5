"""Checks of the values in an optimizer's ``state``, which any code may write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..engine.masters import dtypes_of_state
from ..engine.states import LAST_STEP
from ..rules.split import REMAINDER


def checked_state(array: Any, param: torch.Tensor, what: str) -> torch.Tensor:
    """Return a state that fits its parameter.

    Raises:
        TypeError: it is not a tensor.
        ValueError: its shape differs, or one of the two is complex and the other real.
    """
    if not isinstance(array, torch.Tensor):
        raise TypeError(f"{what}: expected a tensor, got {array!r:.80}")
    if array.shape != param.shape:
        raise ValueError(f"{what}: expected shape {tuple(param.shape)}, got {tuple(array.shape)}")
    if array.is_complex() != param.is_complex():
        kind = "a complex" if param.is_complex() else "a real"
        raise ValueError(f"{what}: expected {kind} tensor, as its parameter is, got {array.dtype}")
    return array


def dtypes_in_state(name: str) -> tuple[str, ...]:
    """Return the dtypes that a state may have by torch's names.

    A 16-bit remainder is a bfloat16 tensor there: NCCL and gloo do not support int16, and
    torch.optim casts every state to the dtype of its parameter.
    """
    own = dtypes_of_state(name)
    return (*own, "bfloat16") if name == REMAINDER else own


def shown(name: str, array: torch.Tensor) -> torch.Tensor:
    """Return a state of a step as a tensor for ``state``, sharing its memory."""
    as_bits = name == REMAINDER and array.dtype is torch.int16
    return array.view(torch.bfloat16) if as_bits else array


def taken(name: str, array: torch.Tensor) -> torch.Tensor:
    """Return a tensor from `shown` in the step's form, sharing its memory."""
    as_bits = name == REMAINDER and array.dtype is torch.bfloat16
    return array.view(torch.int16) if as_bits else array


def number_in(own: Mapping[str, Any], name: str, param_name: str, prefix: str = "") -> float:
    """Return a number in a parameter's states; synchronizes with its device.

    Args:
        own: the states.
        name: the name of the number.
        param_name: the name of the parameter, for error messages.
        prefix: the prefix of error messages.

    Raises:
        TypeError: it is not a number.
    """
    try:
        return float(own[name])
    except (TypeError, ValueError, RuntimeError):  # the last: several elements
        raise TypeError(
            f"{prefix}state {name!r} of {param_name}: expected a number, got {own[name]!r:.80}"
        ) from None


def count_in(own: Mapping[str, Any], param_name: str, prefix: str = "") -> int:
    """Return the step count in a parameter's states; the arguments are `number_in`'s.

    Raises:
        TypeError, ValueError: ``step`` is not a count.
    """
    number = number_in(own, "step", param_name, prefix)
    if not (0 <= number < LAST_STEP and number.is_integer()):
        raise ValueError(
            f"{prefix}state 'step' of {param_name}: expected a count, got {own['step']!r:.80}"
        )
    return int(number)
