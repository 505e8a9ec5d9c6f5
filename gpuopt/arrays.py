"""What gpuopt asks of an array: device, address, dtype and memory order.

NumPy arrays, torch tensors and CPU arrays that speak DLPack are described without a copy.
Libraries are recognised through ``sys.modules`` and never imported to look.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .kernels.storage import STORAGE

FLOATS = ("float64", "float32", "float16", "bfloat16")
"""The element types that gpuopt takes, by name."""


@dataclass(frozen=True)
class Memory:
    """Where an array lies; it does not keep the array alive.

    Attributes:
        device: ``"cpu"`` or ``"cuda:0"``.
        address: of the first element.
        dtype: one of `FLOATS`.
        shape: as the array's.
        strides: in elements.
        writable: whether the array may be updated.
    """

    device: str
    address: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writable: bool

    @cached_property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(STORAGE[self.dtype].itemsize)

    @cached_property
    def order(self) -> tuple[int, ...] | None:
        """The strides of the axes longer than one if the array fills its memory, else None.

        Two arrays of one shape with the same order hold the same element at the same offset.
        """
        if self.size == 0:
            return ()
        axes = [(s, n) for s, n in zip(self.strides, self.shape) if n > 1]
        filled = 1
        for stride, extent in sorted(axes):
            if stride != filled:
                return None
            filled *= extent
        return tuple(stride for stride, _ in axes)

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The first byte, and the one behind the last."""
        if self.size == 0:
            return self.address, self.address
        reach = [s * (n - 1) for s, n in zip(self.strides, self.shape)]
        low = sum(r for r in reach if r < 0)
        high = sum(r for r in reach if r > 0) + 1
        return self.address + low * self.itemsize, self.address + high * self.itemsize

    def at(self, address: int) -> Memory:
        """Return the same layout at another address."""
        moved = replace(self, address=address)
        known: dict[str, Any] = {"size": self.size, "order": self.order}
        known["extent"] = tuple(end + address - self.address for end in self.extent)
        moved.__dict__.update(known)
        return moved

    @property
    def overlaps_itself(self) -> bool:
        """Whether two elements may lie at the same place (a broadcast array, say)."""
        reach = 0
        for stride, extent in sorted((abs(s), n) for s, n in zip(self.strides, self.shape)):
            if extent > 1:
                if stride <= reach:
                    return self.size > 0
                reach += stride * (extent - 1)
        return False

    @property
    def element_aligned(self) -> bool:
        """Whether every element lies at a multiple of its size."""
        return self.address % self.itemsize == 0

    @cached_property
    def view(self) -> npt.NDArray[Any]:
        """The elements as a NumPy array over the same memory (bfloat16 as uint16)."""
        if self.device != "cpu":
            raise RuntimeError(f"the memory of {self.device} cannot be read from the host")
        storage = STORAGE[self.dtype]
        if self.size == 0:
            return np.empty(self.shape, storage)
        low, high = self.extent
        buffer: Any = (ctypes.c_char * (high - low)).from_address(low)
        strides = tuple(s * self.itemsize for s in self.strides)
        return np.ndarray(self.shape, storage, buffer, self.address - low, strides)


def describe(array: Any, name: str) -> Memory:
    """Return where ``array`` lies.

    Args:
        array: a NumPy array, a torch tensor, or a CPU array that speaks DLPack.
        name: what an error calls it, such as ``"params[0]"``.

    Raises:
        TypeError: it is no such array, or its elements are not floats of a known kind.
    """
    return _library_of(array, name).describe(array, name)


def zeros_like(array: Any, dtype: str, fill: float = 0.0) -> Any:
    """Return a new array of the same library, device, shape and memory order."""
    return _library_of(array, "array").full_like(array, dtype, fill)


def to_numpy(array: Any) -> npt.NDArray[Any]:
    """Return a copy of ``array`` on the host, in C order (bfloat16 as uint16)."""
    host = _library_of(array, "array").on_host(array)
    return np.array(describe(host, "array").view, order="C", copy=True)


def copy_into(array: Any, values: npt.NDArray[Any]) -> None:
    """Write ``values``, of the shape and storage dtype of ``array``, into it."""
    host = _library_of(array, "array").on_host(array)
    describe(host, "array").view[...] = values
    if host is not array:
        assign(array, host)


def assign(target: Any, source: Any) -> None:
    """Copy between arrays of one library, shape and dtype, whatever their memory order."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(target, torch.Tensor):
        with torch.no_grad():
            target.copy_(source)
    else:
        describe(target, "array").view[...] = describe(source, "array").view


def tensors_among(arrays: Sequence[Any]) -> dict[int, Any]:
    """Return those that are torch tensors, by place."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {i: array for i, array in enumerate(arrays) if isinstance(array, torch.Tensor)}


def mark_written(tensors: Sequence[Any]) -> None:
    """Tell autograd that these torch tensors changed (their version counters)."""
    if tensors:
        sys.modules["torch"].autograd.graph.increment_version(tensors)


@dataclass(frozen=True)
class _Library:
    """How the arrays of one library are described and made."""

    describe: Callable[[Any, str], Memory]
    full_like: Callable[[Any, str, float], Any]
    on_host: Callable[[Any], Any] = lambda array: array


def _library_of(array: Any, name: str) -> _Library:
    if isinstance(array, np.ndarray):
        return _NUMPY
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return _TORCH
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _DLPACK
    raise TypeError(
        f"{name}: expected a NumPy array, a torch tensor or an array that speaks DLPack, "
        f"got {type(array).__name__}"
    )


# --- NumPy ---------------------------------------------------------------------------------

_NUMPY_NAMES = {np.dtype(name): name for name in ("float64", "float32", "float16")}


def _describe_numpy(array: npt.NDArray[Any], name: str) -> Memory:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked array")
    dtype = _NUMPY_NAMES.get(array.dtype) or array.dtype.name
    if dtype not in FLOATS or not array.dtype.isnative:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {array.dtype!r}")
    interface = array.__array_interface__
    itemsize = array.itemsize
    if any(stride % itemsize for stride in array.strides):
        raise ValueError(f"{name}: strides {array.strides} are not multiples of {itemsize} bytes")
    return Memory(
        "cpu",
        interface["data"][0],
        dtype,
        array.shape,
        tuple(stride // itemsize for stride in array.strides),
        array.flags.writeable,
    )


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name; bfloat16 needs ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError(
            "bfloat16 in NumPy needs the package ml_dtypes: pip install ml_dtypes"
        ) from None
    made: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return made


def _full_like_numpy(array: npt.NDArray[Any], dtype: str, fill: float) -> npt.NDArray[Any]:
    made = np.zeros_like(array, dtype=numpy_dtype(dtype), order="K", subok=False)
    if fill:
        made[...] = fill
    return made


_NUMPY = _Library(_describe_numpy, _full_like_numpy)


# --- torch ---------------------------------------------------------------------------------


def _describe_torch(tensor: Any, name: str) -> Memory:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not sys.modules["torch"].strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")
    if dtype not in FLOATS:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {tensor.dtype}")
    if tensor.is_neg():  # its memory holds the negative of its values
        raise TypeError(f"{name}: expected a plain tensor, got a negated view (resolve_neg())")
    if tensor.device.type not in ("cpu", "cuda"):
        raise TypeError(f"{name}: expected a CPU or CUDA tensor, got one on {tensor.device}")
    address = tensor.data_ptr()
    return Memory(str(tensor.device), address, dtype, tuple(tensor.shape), tensor.stride(), True)


def _full_like_torch(tensor: Any, dtype: str, fill: float) -> Any:
    torch = sys.modules["torch"]
    return torch.full_like(
        tensor, fill, dtype=getattr(torch, dtype), memory_format=torch.preserve_format
    ).requires_grad_(False)


_TORCH = _Library(_describe_torch, _full_like_torch, lambda tensor: tensor.detach().cpu())


# --- any other library, through DLPack -------------------------------------------------------

_IMMUTABLE = ("jax", "jaxlib", "tensorflow")  # their arrays must not change, and some say not so


def _describe_dlpack(array: Any, name: str) -> Memory:
    if array.__dlpack_device__()[0] != 1:
        raise TypeError(f"{name}: {type(array).__name__} lies on a device that is not the CPU")
    try:
        view = np.from_dlpack(array)
    except (TypeError, BufferError, RuntimeError) as error:
        raise TypeError(f"{name}: NumPy cannot take this array through DLPack: {error}") from error
    memory = _describe_numpy(view, name)
    immutable = type(array).__module__.partition(".")[0] in _IMMUTABLE
    writable = view.flags.writeable or not (immutable or _says_read_only(array))
    return Memory("cpu", memory.address, memory.dtype, memory.shape, memory.strides, writable)


def _says_read_only(array: Any) -> bool:
    """Whether the exporter can say that it is read-only, and may have said so.

    NumPy marks an array from an exporter without such a flag (DLPack before 1.0) as
    read-only, too; only the capsule's name tells the two apart.
    """
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:
        return False
    name = ctypes.pythonapi.PyCapsule_IsValid
    name.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return bool(name(capsule, b"dltensor_versioned"))


def _full_like_dlpack(array: Any, dtype: str, fill: float) -> npt.NDArray[Any]:
    return _full_like_numpy(np.from_dlpack(array), dtype, fill)


_DLPACK = _Library(_describe_dlpack, _full_like_dlpack)
