"""Complex tensors as real ones with two numbers an element: a step, like torch's, updates those."""

from __future__ import annotations

import torch

from ..arrays import resolved


def real_view(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Return a plain tensor as a real one in the same memory.

    Raises:
        TypeError: it is a conjugated view, of which no real tensor shares the memory.
    """
    if tensor.is_conj():
        raise TypeError(f"{name}: expected a plain tensor, got a conjugated view (resolve_conj())")
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a complex tensor as a real one: in the same memory, or a copy of a conjugated view."""
    return torch.view_as_real(resolved(tensor) if tensor.is_conj() else tensor)
