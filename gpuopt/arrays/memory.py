"""The memory of an array, independent of its library."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.storage import INTEGERS, STORAGE

FLOATS = ("float64", "float32", "float16", "bfloat16")
"""The dtypes of parameters and gradients."""

STORED = (*FLOATS, *INTEGERS)
"""The dtypes of states."""


@dataclass(frozen=True)
class Memory:
    """Device, address and layout of an array; only ``owner`` keeps anything alive.

    Attributes:
        device: ``"cpu"`` or ``"cuda:0"``.
        address: the address of the first element.
        dtype: one of `STORED`.
        shape: the shape of the array.
        strides: its strides, in elements.
        writable: whether the array may be updated.
        library: ``"numpy"``, ``"torch"`` or ``"cupy"``.
        owner: the object that an array of another library exported, which may own the memory and
            free it when it is deleted.
    """

    device: str
    address: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writable: bool
    library: str = field(default="numpy", compare=False)
    owner: Any = field(default=None, compare=False, repr=False)

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
        """The strides of the axes longer than one if the array is dense, else None.

        Arrays of equal shape and order have each element at the same offset.
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
        """The first byte, and the byte after the last."""
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

    def without_owner(self) -> Memory:
        """Return the same memory without its owner, which is then not kept alive."""
        return self if self.owner is None else replace(self, owner=None)

    @property
    def overlaps_itself(self) -> bool:
        """Whether two elements may share an address, as in a broadcast array."""
        reach = 0
        for stride, extent in sorted((abs(s), n) for s, n in zip(self.strides, self.shape)):
            if extent > 1:
                if stride <= reach:
                    return self.size > 0
                reach += stride * (extent - 1)
        return False

    @property
    def element_aligned(self) -> bool:
        """Whether the address of every element is a multiple of its size."""
        return self.address % self.itemsize == 0

    @cached_property
    def view(self) -> npt.NDArray[Any]:
        """The elements as a NumPy array that shares the memory (bfloat16 as uint16)."""
        if self.device != "cpu":
            raise RuntimeError(f"the memory of {self.device} cannot be read from the host")
        return self._as_numpy()

    def may_share(self, other: Memory, effort: Any) -> bool:
        """Return whether two arrays share a byte; reads no memory.

        Raises:
            numpy.exceptions.TooHardError: undecided after ``effort`` steps.
        """
        return bool(np.shares_memory(self._as_numpy(), other._as_numpy(), max_work=effort))

    def _as_numpy(self) -> npt.NDArray[Any]:
        storage = STORAGE[self.dtype]
        if self.size == 0:
            return np.empty(self.shape, storage)
        low, high = self.extent
        buffer: Any = (ctypes.c_char * (high - low)).from_address(low)
        buffer.owner = self.owner  # for as long as NumPy has the buffer
        strides = tuple(s * self.itemsize for s in self.strides)
        return np.ndarray(self.shape, storage, buffer, self.address - low, strides)
