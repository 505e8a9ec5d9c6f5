"""Parameters that rest: a step that never updates them need not know what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..arrays import describe
from .shards import local_of

States = Mapping[torch.Tensor, dict[str, Any]]


def is_inactive(param: torch.Tensor, state: States) -> bool:
    """Whether a parameter has neither gradient nor states, and is frozen or no array of floats."""
    if param.grad is not None or state.get(param):
        return False
    return not (param.requires_grad and _can_be_updated(param))


def with_placeholders(params: Sequence[torch.Tensor], resting: Sequence[int]) -> list[torch.Tensor]:
    """Return the parameters, with an empty tensor of its own in place of each that rests."""
    present, places = list(params), set(resting)
    awake = next((param for i, param in enumerate(params) if i not in places), None)
    for i in resting:
        present[i] = torch.empty(0, device=None if awake is None else awake.device)
    return present


def real_view(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Return a plain tensor as the step wants it: real, in the same memory.

    Raises:
        TypeError: no real tensor shares its memory.
    """
    if tensor.is_conj():
        raise TypeError(f"{name}: expected a plain tensor, got a conjugated view (resolve_conj())")
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor


def _can_be_updated(param: torch.Tensor) -> bool:
    try:
        return not describe(real_view(local_of(param), ""), "").overlaps_itself
    except (TypeError, ValueError):
        return False
