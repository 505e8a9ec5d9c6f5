"""Device memory through CuPy: values that follow the host's without anyone waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import runtime

from ..staging_pool import StagingPool


class CupyMemory:
    """The memory of one device, in CuPy's current stream of it."""

    def __init__(self, device: str) -> None:
        """Take a device by name, such as ``"cuda:0"``."""
        self._device = cupy.cuda.Device(int(device.partition(":")[2]))

    def current(self) -> Any:
        """Make the device current; CuPy has a current stream for each."""
        return self._device

    def stream(self) -> int:
        """Return the address of the current stream."""
        return int(cupy.cuda.get_current_stream().ptr)

    def address(self, array: Any) -> int:
        """Return where an array lies."""
        return int(array.data.ptr)

    def upload(self, values: npt.NDArray[Any]) -> Any:
        """Return a device copy of ``values``; waits until it is there.

        Its memory comes from the driver and not from CuPy's pool, which would give it to others
        while another stream still works on it: the driver waits before it takes memory back.
        """
        memory = cupy.cuda.MemoryPointer(cupy.cuda.Memory(max(values.nbytes, 1)), 0)
        array = cupy.ndarray(values.shape, values.dtype, memory)
        array.set(values)
        cupy.cuda.get_current_stream().synchronize()
        return array

    def hold(self, arrays: Sequence[Any]) -> bool:
        """Return whether a graph is being captured; the memory is safe as it is."""
        return bool(runtime.streamIsCapturing(self.stream()))

    def staged(self, values: npt.NDArray[Any]) -> StagedArray:
        """Return a device copy of ``values`` that can be rewritten."""
        return StagedArray(self.upload(values))

    def read(self, array: Any) -> npt.NDArray[Any]:
        """Return a copy on the host; waits for the device."""
        host: npt.NDArray[Any] = cupy.asnumpy(array)
        return host

    def copy_number(self, array: Any, rows: int | slice, column: int, number: Any) -> None:
        """Copy an array of one float to places of another, without waiting.

        Raises:
            ValueError: it lies on another device.
        """
        if not isinstance(number, cupy.ndarray):
            number = cupy.from_dlpack(number.detach())
        if number.device != self._device:
            raise ValueError(f"a number on {number.device}, but the arrays lie on {self._device}")
        array[rows, column] = number.reshape(())


class StagedArray:
    """A device array that the host rewrites through pinned memory.

    A block of pinned memory is used again only when the copy from it is done; graphs take theirs
    from a reserve.

    Attributes:
        array: the device array.
    """

    def __init__(self, array: Any) -> None:
        """Take the device array."""
        self.array = array
        self._blocks: list[_Block] = []
        self._pool = StagingPool(lambda: _Block(array))

    def send(self, values: npt.NDArray[Any]) -> None:
        """Make the device array hold ``values``, in the order of the current stream."""
        stream = cupy.cuda.get_current_stream().ptr
        capturing = runtime.streamIsCapturing(stream)
        block = self._pool.take() if capturing else self._free_block()
        block.values[...] = values
        size, kind = block.values.nbytes, runtime.memcpyHostToDevice
        runtime.memcpyAsync(self.array.data.ptr, block.values.ctypes.data, size, kind, stream)
        if not capturing:
            block.copied.record()

    def _free_block(self) -> _Block:
        self._pool.fill()
        for block in self._blocks:
            if block.copied.done:
                return block
        self._blocks.append(_Block(self.array))
        return self._blocks[-1]


class _Block:
    """Pinned memory for the values of an array, and when the last copy from it was done."""

    def __init__(self, array: Any) -> None:
        self._memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
        flat = np.frombuffer(self._memory, array.dtype, array.size)
        self.values = flat.reshape(array.shape)
        self.copied = cupy.cuda.Event(disable_timing=True)
