"""Device memory through torch, with asynchronous copies from the host."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .staging_pool import StagingPool


class TorchMemory:
    """The memory of one device, on torch's or CuPy's current stream.

    The device may be the CPU, for simulated kernels.
    """

    def __init__(self, device: str, library: str) -> None:
        """Store the name of a device, and the library whose current stream is used."""
        self._device = torch.device(device)
        self._of_cupy = library == "cupy"
        self._streams: set[int] = set()

    def current(self) -> AbstractContextManager[Any]:
        """Make the device current; for CuPy arrays, also make CuPy's stream torch's current one."""
        device: AbstractContextManager[Any] = torch.cuda.device(
            self._device if self._device.type == "cuda" else -1
        )
        if not self._of_cupy:
            return device
        stack = ExitStack()
        stack.enter_context(device)
        stream = sys.modules["cupy"].cuda.get_current_stream(self._device.index)
        stack.enter_context(torch.cuda.stream(stream_of(stream.ptr, self._device)))
        return stack

    def stream(self) -> int:
        """Return the handle of the current stream."""
        return int(torch.cuda.current_stream().cuda_stream)

    def address(self, array: torch.Tensor) -> int:
        """Return the address of a tensor."""
        return int(array.data_ptr())

    def upload(self, values: npt.NDArray[Any]) -> torch.Tensor:
        """Return a device copy of ``values``."""
        return upload(values, str(self._device))

    def staged(self, values: npt.NDArray[Any]) -> StagedArray:
        """Return a device copy of ``values`` that can be rewritten."""
        return StagedArray(values, str(self._device))

    def read(self, array: torch.Tensor) -> npt.NDArray[Any]:
        """Return a copy on the host; synchronizes."""
        host: npt.NDArray[Any] = array.cpu().numpy().copy()
        return host

    def hold(self, arrays: Sequence[torch.Tensor]) -> bool:
        """Record the current stream's use of the arrays; return whether it is being captured."""
        if not arrays[0].is_cuda:
            return False
        if torch.cuda.is_current_stream_capturing():
            return True
        stream = torch.cuda.current_stream()
        if stream.cuda_stream not in self._streams:
            self._streams.add(stream.cuda_stream)
            for array in arrays:
                array.record_stream(stream)
        return False

    def copy_number(self, array: torch.Tensor, rows: int | slice, column: int, number: Any) -> None:
        """Copy a torch or CuPy scalar on the device to elements of a tensor."""
        if not isinstance(number, torch.Tensor):
            number = torch.as_tensor(number, device=array.device)
        array[rows, column].copy_(number.detach().reshape(()))


def stream_of(handle: int, device: torch.device) -> Any:
    """Return torch's object for a stream of CuPy.

    Handles 0 and 1 are the legacy default stream. For an external stream with handle 0, torch would
    return a new stream from its pool.
    """
    if handle in (0, 1):
        return torch.cuda.default_stream(device)
    return torch.cuda.ExternalStream(handle, device)


def upload(values: npt.NDArray[Any], device: str) -> torch.Tensor:
    """Return a device copy of ``values``."""
    return torch.from_numpy(np.array(values)).to(device)


class StagedArray:
    """A device tensor that the host rewrites through pinned memory, asynchronously.

    torch's allocator reuses a pinned buffer only after the copies from it have finished; a captured
    graph takes its buffer from the pool and keeps it.

    Attributes:
        array: the device tensor.
        pool: the buffers for graphs; None on the CPU.
    """

    def __init__(self, values: npt.NDArray[Any], device: str) -> None:
        """Copy ``values`` to the device."""
        self.array = upload(values, device)
        self.pool = StagingPool(self._new_buffer) if self.array.is_cuda else None

    def send(self, values: npt.NDArray[Any]) -> None:
        """Copy ``values`` to the device tensor on the current stream."""
        source = torch.from_numpy(values)
        if self.pool is None:
            self.array.copy_(source)
            return
        if torch.cuda.is_current_stream_capturing():
            buffer = self.pool.take()
        else:
            self.pool.fill()
            buffer = self._new_buffer()
        self.array.copy_(buffer.copy_(source), non_blocking=True)

    def _new_buffer(self) -> torch.Tensor:
        shape, dtype = self.array.shape, self.array.dtype
        return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)
