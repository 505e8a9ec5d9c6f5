"""torch tensors: from arrays, and such as pass for CUDA tensors where there is no CUDA."""

from dataclasses import replace

import numpy as np
import pytest

from gpuopt import arrays
from tests.helpers.values import DTYPES

torch = pytest.importorskip("torch")


def tensor_of(array):
    """A tensor of its own memory with the values of an array."""
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def on(device, tensor):
    """Mark a tensor: once `pretend` is in force, it passes for one on ``device``."""
    tensor.pretended_device = device
    return tensor


def pretend(monkeypatch):
    """Let gpuopt see marked tensors where they pretend to lie: the host cannot read them there."""
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
