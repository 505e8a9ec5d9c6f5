"""Real views of complex tensors, with two numbers per element: like torch, a step updates these."""

from __future__ import annotations

import torch

from ..arrays import resolved


def real_view(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Return a real view of a plain tensor.

    Raises:
        TypeError: it is a conjugated view, which has no real view.
    """
    if tensor.is_conj():
        raise TypeError(f"{name}: expected a plain tensor, got a conjugated view (resolve_conj())")
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a real view of a complex tensor, or a real copy of a conjugated view."""
    return torch.view_as_real(resolved(tensor) if tensor.is_conj() else tensor)
