"""torch and CuPy on the machine, called by the same names: what the tests of both call."""

from contextlib import contextmanager

import numpy as np
import torch

import gpuopt

from .in_cupy import cupy


class Torch:
    """torch's tensors and streams."""

    def array(self, values, number=0):
        """Return a device array with the values of one of NumPy; does not wait."""
        host = torch.from_numpy(np.array(values))
        pinned = torch.empty(host.shape, dtype=host.dtype, device="cpu", pin_memory=True)
        return pinned.copy_(host).to(f"cuda:{number}", non_blocking=True)

    def values(self, array):
        """Return its values; waits."""
        return array.cpu().numpy()

    def fill(self, array, value):
        """Set every element."""
        array.fill_(value)

    def stream(self):
        """Return a new stream."""
        return torch.cuda.Stream()

    def inside(self, stream):
        """Make a stream current in a block."""
        return torch.cuda.stream(stream)

    def current(self):
        """Return the current stream."""
        return torch.cuda.current_stream()

    def wait(self, stream, other):
        """Let a stream wait for another."""
        stream.wait_stream(other)

    def synchronize(self):
        """Wait for everything."""
        torch.cuda.synchronize()

    def capture(self, step, *arguments):
        """Return a function that replays a step."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(*arguments)
        return graph.replay


class CuPy:
    """CuPy's arrays and streams."""

    def array(self, values, number=0):
        """Return a device array with the values of one of NumPy; does not wait."""
        with cupy.cuda.Device(number):
            return cupy.asarray(values)

    def values(self, array):
        """Return its values; waits."""
        return cupy.asnumpy(array)

    def fill(self, array, value):
        """Set every element."""
        array.fill(value)

    def stream(self):
        """Return a new stream."""
        return cupy.cuda.Stream(non_blocking=True)

    def inside(self, stream):
        """Make a stream current in a block."""
        return stream

    def current(self):
        """Return the current stream."""
        return cupy.cuda.get_current_stream()

    def wait(self, stream, other):
        """Let a stream wait for another."""
        stream.wait_event(other.record())

    def synchronize(self):
        """Wait for everything."""
        self.current().synchronize()

    def capture(self, step, *arguments):
        """Return a function that replays a step; the capture allows nothing that could wait."""
        self.synchronize()
        with self.stream() as stream:
            stream.begin_capture(cupy.cuda.runtime.streamCaptureModeGlobal)
            try:
                step(*arguments)
            finally:
                graph = stream.end_capture()
            return graph.launch


@contextmanager
def by(library, backend):
    """Let a backend update the arrays of a library; return the library's names."""
    with gpuopt.use_backend(backend):
        yield {"torch": Torch, "cupy": CuPy}[library]()
