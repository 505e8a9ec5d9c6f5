"""Device memory through CuPy, with asynchronous copies from the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import runtime

from ..staging_pool import StagingPool


class CupyMemory:
    """The memory of one device, on CuPy's current stream."""

    def __init__(self, device: str) -> None:
        """Store the name of a device, such as ``"cuda:0"``."""
        self._device = cupy.cuda.Device(int(device.partition(":")[2]))

    def current(self) -> Any:
        """Make the device current, and with it its current stream."""
        return self._device

    def stream(self) -> int:
        """Return the handle of the current stream."""
        return int(cupy.cuda.get_current_stream().ptr)

    def address(self, array: Any) -> int:
        """Return the address of an array."""
        return int(array.data.ptr)

    def upload(self, values: npt.NDArray[Any]) -> Any:
        """Return a device copy of ``values``; synchronizes.

        The memory comes from the driver, which synchronizes before it frees memory. CuPy's pool
        could reuse it while another stream still uses it.
        """
        memory = cupy.cuda.MemoryPointer(cupy.cuda.Memory(max(values.nbytes, 1)), 0)
        array = cupy.ndarray(values.shape, values.dtype, memory)
        array.set(values)
        cupy.cuda.get_current_stream().synchronize()
        return array

    def hold(self, arrays: Sequence[Any]) -> bool:
        """Return whether a graph is being captured; memory from the driver needs no recording."""
        return bool(runtime.streamIsCapturing(self.stream()))

    def staged(self, values: npt.NDArray[Any]) -> StagedArray:
        """Return a device copy of ``values`` that can be rewritten."""
        return StagedArray(self.upload(values))

    def read(self, array: Any) -> npt.NDArray[Any]:
        """Return a copy on the host; synchronizes."""
        host: npt.NDArray[Any] = cupy.asnumpy(array)
        return host

    def copy_number(self, array: Any, rows: int | slice, column: int, number: Any) -> None:
        """Copy a scalar on the device to elements of an array, asynchronously.

        Raises:
            ValueError: the scalar is on another device.
        """
        if not isinstance(number, cupy.ndarray):
            number = cupy.from_dlpack(number.detach())
        if number.device != self._device:
            raise ValueError(f"a number on {number.device}, but the arrays are on {self._device}")
        array[rows, column] = number.reshape(())


class StagedArray:
    """A device array that the host rewrites through pinned memory, asynchronously.

    A pinned buffer is reused only after the copy from it has finished; a captured graph takes its
    buffer from a pool and keeps it.

    Attributes:
        array: the device array.
    """

    def __init__(self, array: Any) -> None:
        """Store the device array."""
        self.array = array
        self._buffers: list[_Buffer] = []
        self._pool = StagingPool(lambda: _Buffer(array))

    def send(self, values: npt.NDArray[Any]) -> None:
        """Copy ``values`` to the device array on the current stream."""
        stream = cupy.cuda.get_current_stream().ptr
        capturing = runtime.streamIsCapturing(stream)
        buffer = self._pool.take() if capturing else self._free_buffer()
        buffer.values[...] = values
        size, kind = buffer.values.nbytes, runtime.memcpyHostToDevice
        runtime.memcpyAsync(self.array.data.ptr, buffer.values.ctypes.data, size, kind, stream)
        if not capturing:
            buffer.copied.record()

    def _free_buffer(self) -> _Buffer:
        self._pool.fill()
        for buffer in self._buffers:
            if buffer.copied.done:
                return buffer
        self._buffers.append(_Buffer(self.array))
        return self._buffers[-1]


class _Buffer:
    """Pinned memory for the values of an array, and the event after the last copy from it."""

    def __init__(self, array: Any) -> None:
        self._memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
        flat = np.frombuffer(self._memory, array.dtype, array.size)
        self.values = flat.reshape(array.shape)
        self.copied = cupy.cuda.Event(disable_timing=True)
