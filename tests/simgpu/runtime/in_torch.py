"""`torch.cuda` over the machine: streams, events, guards, graphs, and tensors made on a device."""

import torch
from torch.overrides import TorchFunctionMode

from ..driver import ARCHS
from .graphs import STRICT
from .machine import active
from .order import Event as _Event
from .tensors import copied, filled, number_of, pinned


class Stream:
    """A stream as torch knows it.

    Attributes:
        real: the stream.
    """

    def __init__(self, device=None, real=None):
        """Take a stream, or a new one: torch's do not wait for the default stream."""
        self.real = real or active().stream(number_of("cuda" if device is None else device))

    @property
    def cuda_stream(self):
        """The handle."""
        return self.real.handle

    @property
    def device(self):
        """Where it is."""
        return torch.device("cuda", self.real.device)

    def __eq__(self, other):
        """Return whether both are the same stream."""
        return isinstance(other, Stream) and other.real is self.real

    def __hash__(self):
        """Return the same number for the same stream."""
        return id(self.real)

    def record_event(self, event=None):
        """Record an event, and return it."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        """Let later work wait for an event."""
        active().wait(self.real, event.real)

    def wait_stream(self, other):
        """Let later work wait for what another stream has."""
        self.wait_event(other.record_event())

    def synchronize(self):
        """Wait as the host."""
        active().wait_for(self.real)


def ExternalStream(handle, device=None):
    """Return torch's object for a handle; one of 0 is a wish for a new stream, as in torch."""
    return Stream(device) if not handle else Stream(real=active().stream_of(handle))


class Event:
    """An event as torch knows it."""

    def __init__(self, enable_timing=False):
        """Make one that was not recorded."""
        self.real = _Event()

    def record(self, stream=None):
        """Record it in a stream, the current one by default."""
        active().record(self.real, (stream or current_stream()).real)

    def wait(self, stream=None):
        """Let a stream wait for it."""
        (stream or current_stream()).wait_event(self)

    def query(self):
        """Return whether it is over."""
        return active().is_done(self.real)

    def synchronize(self):
        """Wait as the host."""
        active().wait_for_event(self.real)


class device:
    """The guard that makes a device current; a negative number changes nothing."""

    def __init__(self, device):
        """Take the device."""
        self._number = device if isinstance(device, int) else number_of(device)

    def __enter__(self):
        """Make it current."""
        self._before = active().device
        if self._number >= 0:
            active().device = self._number

    def __exit__(self, *_):
        """Make the last one current again."""
        active().device = self._before


class stream:
    """The guard that makes a stream, and its device, current."""

    def __init__(self, stream):
        """Take the stream."""
        self._stream = stream

    def __enter__(self):
        """Make it current."""
        machine, real = active(), self._stream.real
        self._before = machine.device, machine.current_stream("torch", real.device)
        machine.device, machine.current["torch", real.device] = real.device, real

    def __exit__(self, *_):
        """Make the last ones current again."""
        machine, real = active(), self._stream.real
        machine.device, machine.current["torch", real.device] = self._before


def current_stream(device=None):
    """Return the current stream of a device, the current one by default."""
    number = None if device is None else number_of(device)
    return Stream(real=active().current_stream("torch", number))


def default_stream(device=None):
    """Return the default stream of a device."""
    return Stream(real=active().defaults[number_of("cuda" if device is None else device)])


class CUDAGraph:
    """A graph as torch knows it."""

    def replay(self):
        """Do it again, in the current stream."""
        self.real.replay(current_stream().real)


class graph:
    """The block whose work becomes a graph."""

    def __init__(self, cuda_graph, stream=None, capture_error_mode=STRICT):
        """Take the graph, and the stream that is captured."""
        self._graph, self._mode = cuda_graph, capture_error_mode
        self._of, self._current = stream or Stream(), None

    def __enter__(self):
        """Begin."""
        active().wait_for_device(active().device)
        self._current = stream(self._of)
        self._current.__enter__()
        self._graph.real = active().begin_capture(self._of.real, self._mode)

    def __exit__(self, *_):
        """End."""
        self._graph.real.end()
        self._current.__exit__()


class Factories(TorchFunctionMode):
    """What makes a tensor on a device, or in pinned memory, of nothing or of one of the host."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        """Call the function, or do what it would do on a device."""
        options = dict(options or {})
        device = options.get("device")
        on_device = device is not None and torch.device(device).type == "cuda"
        if options.pop("pin_memory", False):
            if on_device:
                raise RuntimeError("Only dense CPU tensors can be pinned")
            return pinned(function(*arguments, **options))
        if on_device:
            return _made(function, arguments, options)
        if function is torch.Tensor.to:
            asked = {name: value for name, value in options.items() if name != "copy"}
            device, dtype, non_blocking, _ = torch._C._nn._parse_to(*arguments[1:], **asked)
            if device is not None and device.type == "cuda":
                return copied(arguments[0], number_of(device), dtype, non_blocking)
        return function(*arguments, **options)


def _made(function, arguments, options):
    number = number_of(options.pop("device"))
    if function is torch.as_tensor and hasattr(arguments[0], "as_tensor"):
        return arguments[0].as_tensor()
    values = function(*arguments, **options)
    return (copied if function in (torch.tensor, torch.as_tensor) else filled)(values, number)


def names():
    """Return what takes the place of what in `torch.cuda`."""
    ours = (Stream, Event, device, stream, current_stream, default_stream, CUDAGraph, graph)
    return {
        **{each.__name__: each for each in (*ours, ExternalStream)},
        "is_available": lambda: True,
        "device_count": lambda: active().devices,
        "current_device": lambda: active().device,
        "get_device_capability": lambda device=None: divmod(ARCHS[number_of(device or "cuda")], 10),
        "is_current_stream_capturing": lambda: current_stream().real.graph is not None,
        "synchronize": lambda device=None: active().wait_for_device(number_of(device or "cuda")),
    }
