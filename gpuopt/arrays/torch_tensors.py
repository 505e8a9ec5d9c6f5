"""torch tensors, on the CPU or a CUDA device."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .library import Library
from .memory import FLOATS, STORED, Memory
from .recognised import is_torch_tensor


class LazyError(TypeError):
    """A tensor with torch's lazy negative or conjugate bit: its memory does not hold its values."""


def _describe(tensor: Any, name: str) -> Memory:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not sys.modules["torch"].strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")
    if dtype not in STORED:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {tensor.dtype}")
    if tensor.is_neg():
        raise LazyError(f"{name}: expected a plain tensor, got a negated view (resolve_neg())")
    if tensor.device.type not in ("cpu", "cuda"):
        raise TypeError(f"{name}: expected a CPU or CUDA tensor, got one on {tensor.device}")
    device, shape, address = str(tensor.device), tuple(tensor.shape), tensor.data_ptr()
    if not address and tensor.numel():
        raise TypeError(f"{name}: expected a tensor with memory of its own, got {_kind(tensor)}")
    strides, itemsize = tensor.stride(), tensor.element_size()
    end = tensor.storage_offset() * itemsize + reach(shape, strides, itemsize)
    if end > (held := tensor.untyped_storage().nbytes()) and tensor.numel():
        raise ValueError(
            f"{name}: ends at byte {end} of its storage, which has been resized to {held} bytes"
        )
    return Memory(device, address, dtype, shape, strides, True, "torch")


def reach(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> int:
    """Return the bytes from a tensor's first element to the end of its last."""
    if 0 in shape:
        return 0
    return (sum((n - 1) * stride for n, stride in zip(shape, strides)) + 1) * itemsize


def offsets_and_storages(
    tensors: Sequence[Any],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return int64: each tensor's offset in its storage, and the storage's size in bytes."""
    torch: Any = sys.modules["torch"]
    held = map(torch.UntypedStorage.nbytes, map(torch.Tensor.untyped_storage, tensors))
    first = map(torch.Tensor.storage_offset, tensors)
    count = len(tensors)
    return np.fromiter(first, np.int64, count), np.fromiter(held, np.int64, count)


def is_lazy(array: Any) -> bool:
    """Return whether a value is a torch tensor with the negative or conjugate bit."""
    return is_torch_tensor(array) and bool(array.is_neg() or array.is_conj())


def resolved(array: Any) -> Any:
    """Return the array, or a copy whose memory holds its values if it is lazy."""
    return array.detach().resolve_conj().resolve_neg() if is_lazy(array) else array


def without_lazy_bits(array: Any) -> Any:
    """Return an array that shares the memory, without the lazy bits."""
    if not is_lazy(array):
        return array
    place = array.storage_offset(), array.size(), array.stride()
    made = sys.modules["torch"].empty(0, dtype=array.dtype, device=array.device)
    return made.set_(array.untyped_storage(), *place)


def _kind(tensor: Any) -> str:
    """Return the kind of tensor for an error; only `gpuopt.torch` accepts DTensors."""
    return f"a {type(tensor).__name__}" if not hasattr(tensor, "_spec") else "a DTensor"


def _ordinary() -> Any:
    """Return a context for new tensors: torch could not update an inference tensor later."""
    return sys.modules["torch"].inference_mode(False)


def _full_like(tensor: Any, dtype: str, fill: float) -> Any:
    torch = sys.modules["torch"]
    with _ordinary():
        return torch.full_like(
            tensor, fill, dtype=getattr(torch, dtype), memory_format=torch.preserve_format
        ).requires_grad_(False)


def _zeros(tensor: Any, count: int) -> Any:
    torch = sys.modules["torch"]
    with _ordinary():
        return torch.zeros(count, dtype=torch.float32, device=tensor.device)


def _assign(target: Any, source: Any) -> None:
    with sys.modules["torch"].no_grad():
        target.copy_(source)


TORCH = Library(_describe, _full_like, _zeros, lambda tensor: tensor.detach().cpu(), _assign)
