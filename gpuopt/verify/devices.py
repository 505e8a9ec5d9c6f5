"""What the checks ask of a device: streams, graphs, and whether anything waits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol


class Device(Protocol):
    """The devices of a library, of which the first is current."""

    def count(self) -> int:
        """Return how many there are."""

    def synchronize(self) -> None:
        """Wait for all work; raises what a kernel has left."""

    def side_stream(self) -> Any:
        """Return a context with another current stream, between what is queued before and after."""

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture what a function queues, inside `side_stream`, and return its replay."""

    def not_waiting(self) -> Any:
        """Return a context in which it is an error to wait for the device."""


class TorchDevice:
    """CUDA devices, by torch."""

    def count(self) -> int:
        """Return how many there are."""
        import torch

        return int(torch.cuda.device_count())

    def synchronize(self) -> None:
        """Wait for all work; raises what a kernel has left."""
        import torch

        torch.cuda.synchronize()

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        """Make another stream current, between what is queued before and after."""
        import torch

        before, stream = torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            yield
        before.wait_stream(stream)

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture what a function queues, and return its replay."""
        import torch

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return lambda: graph.replay()

    def not_waiting(self) -> AbstractContextManager[None]:
        """Make waiting for the device an error."""
        import torch

        return no_waiting(torch)


@contextmanager
def no_waiting(torch: Any) -> Iterator[None]:
    """Make every call that waits for the device an error inside the block, and none behind it."""
    before = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class CupyDevice:
    """CUDA devices, by CuPy."""

    def count(self) -> int:
        """Return how many there are."""
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount())

    def synchronize(self) -> None:
        """Wait for all work; raises what a kernel has left."""
        import cupy

        cupy.cuda.Device().synchronize()

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        """Make another stream current, between what is queued before and after."""
        import cupy

        before = cupy.cuda.get_current_stream()
        stream = cupy.cuda.Stream(non_blocking=True)
        stream.wait_event(before.record())
        with stream:
            yield
        before.wait_event(stream.record())

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture what a function queues on the current stream, and return its replay."""
        import cupy

        stream = cupy.cuda.get_current_stream()
        stream.begin_capture()
        try:
            step()
        finally:
            graph = stream.end_capture()
        return partial(graph.launch, stream)

    def not_waiting(self) -> Any:
        """CuPy cannot tell."""
        raise NotImplementedError


DEVICES: dict[str, Device] = {"torch": TorchDevice(), "cupy": CupyDevice()}
"""The devices by the library that asks for them."""
