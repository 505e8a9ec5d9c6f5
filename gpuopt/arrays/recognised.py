"""Recognition of torch tensors and CuPy arrays, without imports."""

from __future__ import annotations

import sys
from typing import Any


def is_torch_tensor(value: Any) -> bool:
    """Return whether a value is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_cupy_array(value: Any) -> bool:
    """Return whether a value is a CuPy array."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)
