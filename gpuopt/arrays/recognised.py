"""Whose array a value is, without importing any library to look."""

from __future__ import annotations

import sys
from typing import Any


def is_torchs(value: Any) -> bool:
    """Whether it is a tensor of torch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_cupys(value: Any) -> bool:
    """Whether it is an array of CuPy's."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)
