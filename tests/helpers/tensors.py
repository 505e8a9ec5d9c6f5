"""torch tensors from arrays, and CPU tensors that pass for CUDA tensors."""

from dataclasses import replace

import numpy as np
import pytest

from gpuopt import arrays
from tests.helpers.values import DTYPES

torch = pytest.importorskip("torch")


def tensor_of(array):
    """Return a tensor with a copy of an array's values."""
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def on(device, tensor):
    """Mark a tensor to pass for one on ``device`` after `pretend`."""
    tensor.pretended_device = device
    return tensor


def pretend(monkeypatch):
    """Make gpuopt see marked tensors on their pretended devices, unreadable from the host."""
    library_of = arrays._library_of

    def pretending(array, name):
        library = library_of(array, name)
        return _pretending(library) if isinstance(array, torch.Tensor) else library

    monkeypatch.setattr(arrays, "_library_of", pretending)


def _pretending(real):
    def describe(tensor, name):
        memory = real.describe(tensor, name)
        return replace(memory, device=getattr(tensor, "pretended_device", memory.device))

    def full_like(tensor, dtype, fill):
        return on(describe(tensor, "tensor").device, real.full_like(tensor, dtype, fill))

    def on_host(tensor):
        return tensor.detach().clone()  # without the mark

    return replace(real, describe=describe, full_like=full_like, on_host=on_host)
