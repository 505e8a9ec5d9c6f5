"""Inactive parameters, which no step updates and which may therefore be of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..arrays import describe
from .complex_tensors import real_view
from .shards import local_of

States = Mapping[torch.Tensor, dict[str, Any]]


def is_inactive(param: torch.Tensor, state: States) -> bool:
    """Whether a parameter has no gradient and no states, and is frozen or cannot be updated."""
    if param.grad is not None or state.get(param):
        return False
    return not (param.requires_grad and _can_be_updated(param))


def with_placeholders(
    params: Sequence[torch.Tensor], inactive: Sequence[int]
) -> list[torch.Tensor]:
    """Return the parameters, with an empty tensor in place of each inactive one.

    The empty tensors are on the device of the first active parameter.
    """
    tensors, skipped = list(params), set(inactive)
    active = next((param for i, param in enumerate(params) if i not in skipped), None)
    for i in inactive:
        tensors[i] = torch.empty(0, device=None if active is None else active.device)
    return tensors


def _can_be_updated(param: torch.Tensor) -> bool:
    try:
        return not describe(real_view(local_of(param), ""), "").overlaps_itself
    except (TypeError, ValueError):
        return False
