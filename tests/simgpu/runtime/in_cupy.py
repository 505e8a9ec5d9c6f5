"""CuPy over the machine: as much of it as the CuPy backend and its tests call.

Its memory pool gives freed memory to the next who asks in the same stream, and knows of no other
stream; its kernels for copies and fills are compiled and loaded at the first call of a kind.
"""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from .. import run
from ..driver import ARCHS
from . import kernels
from .blocks import PINNED, Place
from .graphs import RELAXED, STRICT
from .machine import active
from .order import Event as _Event

_MODES = (STRICT, "thread_local", RELAXED)


def _stream():
    return active().current_stream("cupy")


class Device:
    """A device, which a block makes current."""

    def __init__(self, number=None):
        """Take its number; the current one by default."""
        self.id = active().device if number is None else number
        self._before = []

    def __eq__(self, other):
        """Return whether both are the same."""
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        """Return its number."""
        return self.id

    def __repr__(self):
        """Name it as CuPy does."""
        return f"<CUDA Device {self.id}>"

    @property
    def compute_capability(self):
        """Its architecture, such as "90"."""
        return str(ARCHS[self.id])

    def __enter__(self):
        """Make it current."""
        self._before.append(active().device)
        active().device = self.id
        return self

    def __exit__(self, *_):
        """Make the last one current again."""
        active().device = self._before.pop()


class Graph:
    """A graph as CuPy knows it."""

    def __init__(self, real):
        """Take what was captured."""
        self._real = real

    def launch(self, stream=None):
        """Do it again."""
        self._real.replay(stream.real if stream else _stream())


class Stream:
    """A stream as CuPy knows it; without ``non_blocking`` it and the default stream wait.

    Attributes:
        real: the stream.
    """

    def __init__(self, null=False, non_blocking=False, real=None):
        """Take a stream, or a new one of the current device."""
        machine = active()
        default = machine.defaults[machine.device] if null else None
        self.real = real or default or machine.stream(machine.device, not non_blocking)
        self._before = []

    @property
    def ptr(self):
        """The handle."""
        return self.real.handle

    def __enter__(self):
        """Make it current."""
        self._before.append(active().current_stream("cupy", self.real.device))
        active().current["cupy", self.real.device] = self.real
        return self

    def __exit__(self, *_):
        """Make the last one current again."""
        active().current["cupy", self.real.device] = self._before.pop()

    def record(self, event=None):
        """Record an event, and return it."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        """Let later work wait for an event."""
        active().wait(self.real, event.real)

    def synchronize(self):
        """Wait as the host."""
        active().wait_for(self.real)

    def begin_capture(self, mode=None):
        """Begin a capture, in relaxed mode by default."""
        self._graph = active().begin_capture(self.real, RELAXED if mode is None else _MODES[mode])

    def end_capture(self):
        """Return the graph."""
        self._graph.end()
        return Graph(self._graph)


class Event:
    """An event as CuPy knows it."""

    def __init__(self, block=False, disable_timing=False):
        """Make one that was not recorded."""
        self.real = _Event()

    def record(self, stream=None):
        """Record it in a stream, the current one by default."""
        active().record(self.real, stream.real if stream else _stream())

    @property
    def done(self):
        """Whether it is over."""
        return active().is_done(self.real)

    def synchronize(self):
        """Wait as the host."""
        active().wait_for_event(self.real)


# --- memory --------------------------------------------------------------------------------------


class Memory:
    """Memory of the driver: freeing it waits for the device."""

    def __init__(self, size):
        """Allocate it on the current device."""
        self.device_id = active().device
        self.block, self.owner = active().allocate(size, device=self.device_id)


class _PooledMemory:
    """Memory of the pool, for the current stream."""

    def __init__(self, size):
        self.device_id = active().device
        self.block, self.owner = active().allocate(size, _stream())


class MemoryPointer:
    """A place in memory, which it keeps alive."""

    def __init__(self, memory, offset):
        """Take the memory, and bytes from its beginning."""
        self.mem, self.offset = memory, offset

    @property
    def ptr(self):
        """The address."""
        return self.mem.block.address + self.offset

    @property
    def device_id(self):
        """The number of the device."""
        return self.mem.device_id


def alloc_pinned_memory(size):
    """Return pinned memory, of a pool that knows of no streams: who asks next may get it."""
    return active().allocate(size, device=PINNED)[1]


def _memcpy_async(target, source, size, kind, handle):
    assert kind == _RUNTIME.memcpyHostToDevice
    _to_device(Place(target, [size], [1], 1), source, active().stream_of(handle))


def _to_device(target, source, stream):
    """Copy from an address of the host to a place: pageable memory is read before this returns."""
    reads = Place(source, [target.reach], [1], 1)
    given = None
    if active().blocks.at(source) is None:
        if stream.graph is not None:
            active().wait_for(stream)  # which raises
        given = reads.bytes().copy()

    def do(work):
        if target.reach:
            target.bytes()[...] = reads.bytes() if given is None else given
        return (reads.spans() if given is None else []), target.spans()

    active().enqueue("a copy from the host", stream, do)


# --- arrays --------------------------------------------------------------------------------------


class ndarray:
    """An array on a device."""

    def __init__(self, shape, dtype=np.float64, memptr=None, strides=None):
        """Take memory, or new memory of the pool."""
        like = np.empty(shape, dtype)
        self.shape, self.dtype, self.ndim = like.shape, like.dtype, like.ndim
        self.size, self.itemsize, self.nbytes = like.size, like.itemsize, like.nbytes
        self.strides = like.strides if strides is None else strides
        self.data = memptr or MemoryPointer(_PooledMemory(self.nbytes), 0)

    @property
    def device(self):
        """Where it is."""
        return Device(self.data.device_id)

    def _place(self):
        return _Place(self.data.ptr, self.shape, self.strides, self.dtype)

    def _viewed(self, change):
        """Return a view; ``change`` makes it of a NumPy array of the same layout."""
        place = self._place()
        held = np.zeros(max(place.reach, 1), np.uint8)
        before = np.ndarray(self.shape, self.dtype, held, 0, self.strides)
        after = change(before)
        shift = after.__array_interface__["data"][0] - held.ctypes.data if after.size else 0
        at = MemoryPointer(self.data.mem, self.data.offset + shift)
        return ndarray(after.shape, self.dtype, at, after.strides)

    def __getitem__(self, index):
        """Return a view."""
        index = index if isinstance(index, tuple) else (index,)
        index = index if any(part is ... for part in index) else (*index, ...)
        return self._viewed(lambda array: array[index])

    def reshape(self, *shape):
        """Return a view."""
        return self._viewed(lambda array: array.reshape(*shape))

    def __setitem__(self, index, value):
        """Copy an array into a part, or fill it with a number."""
        target = self[index]
        if not isinstance(value, ndarray):
            return target.fill(value)
        same = target.shape == value.shape and target.strides == value.strides
        if not (same and target.dtype == value.dtype and target._is_contiguous()):
            _need("elementwise_copy", target, value)
        of, to = value._place(), target._place()

        def do(work):
            to.array()[...] = of.array()
            return of.spans(), to.spans()

        active().enqueue(f"a copy of {value.dtype} {list(value.shape)}", _stream(), do)
        return None

    def _is_contiguous(self):
        return self.strides == np.empty(self.shape, self.dtype).strides

    def fill(self, value):
        """Set every element."""
        _need("fill", self)
        place = self._place()

        def do(work):
            place.array()[...] = value
            return [], place.spans()

        active().enqueue("a fill", _stream(), do)

    def set(self, values):
        """Copy from the host."""
        values = np.ascontiguousarray(values)
        with self.device:
            _to_device(self._place(), values.ctypes.data, _stream())

    def get(self):
        """Return a copy on the host; waits for the stream."""
        with self.device:
            stream, place, found = _stream(), self._place(), np.empty(self.shape, self.dtype)
            if stream.graph is not None:
                active().wait_for(stream)  # which raises

            def do(work):
                found[...] = place.array()
                return place.spans(), []

            active().enqueue(f"a copy of {self.dtype} {list(self.shape)}", stream, do)
            active().wait_for(stream)
        return found

    def __float__(self):
        """Return its only value; waits."""
        return float(self.get())

    def as_tensor(self):
        """Return a torch tensor over the same memory."""
        from .tensors import of_memory

        memory, first = self.data.mem, self.data.offset
        bytes_ = memory.owner[first : first + self._place().reach]
        tensor = of_memory(bytes_.view(self.dtype), memory.device_id)
        strides = [stride // self.itemsize for stride in self.strides]
        return tensor.as_strided(self.shape, strides)


class _Place(Place):
    """Where an array lies."""

    def __init__(self, address, shape, strides, dtype):
        super().__init__(address, shape, strides, dtype.itemsize)
        self._dtype = dtype

    def array(self):
        """Return a NumPy array there."""
        if not self.reach:
            return np.empty(self.shape, self._dtype)
        return np.ndarray(self.shape, self._dtype, self.bytes(), 0, self.strides)


def _need(kind, *arrays):
    """Load CuPy's kernel for some arrays, unless this was done before."""
    here = active().device
    for array in arrays:
        if array.data.device_id != here:
            raise ValueError(f"the array is on cuda:{array.data.device_id}, current is cuda:{here}")
    key = (here, kind, *((str(array.dtype), array.ndim > 0) for array in arrays))
    loaded = active().__dict__.setdefault("cupys_kernels", set())
    if key not in loaded:
        active().load_module(f"CuPy's kernel {kind}")
        loaded.add(key)


def asarray(values, dtype=None):
    """Return an array on the current device."""
    if isinstance(values, ndarray):
        return values
    values = np.asarray(values, dtype)
    made = ndarray(values.shape, values.dtype)
    made.set(values)
    return made


def zeros(shape, dtype=np.float64):
    """Return an array of zeros."""
    made = ndarray(shape, dtype)
    place = made._place()

    def do(work):
        if place.reach:
            place.bytes()[...] = 0
        return [], place.spans()

    active().enqueue("a fill with zeros", _stream(), do)
    return made


def zeros_like(array, dtype=None, order="K"):
    """Return an array of zeros, of the shape of another."""
    return zeros(array.shape, dtype or array.dtype)


def asnumpy(array):
    """Return a copy on the host."""
    return array.get()


def from_dlpack(tensor):
    """Return an array over the memory of a torch tensor, for which the stream waits."""
    machine, number = active(), tensor.number
    event = _Event()
    machine.record(event, machine.current_stream("torch", number))
    machine.wait(machine.current_stream("cupy", number), event)
    block = machine.blocks.at(tensor.data_ptr())
    memory = SimpleNamespace(block=block, owner=tensor, device_id=number)
    item = tensor.element_size()
    at = MemoryPointer(memory, tensor.data_ptr() - block.address)
    dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
    return ndarray(tuple(tensor.shape), dtype, at, tuple(s * item for s in tensor.stride()))


# --- kernels -------------------------------------------------------------------------------------


class RawModule:
    """A module of kernels, which each device loads at the first call."""

    def __init__(self, path):
        """Take the file of the code: here, of PTX."""
        self._kernels, self._loaded = run.kernels(Path(path).read_text()), {}

    def get_function(self, name):
        """Return the function that launches a kernel."""
        here, kernel = active().device, self._kernels[name]
        if here not in self._loaded:
            self._loaded[here] = active().load_module(name)

        def launch(grid, block, arguments, stream):
            (blocks,), (threads,) = grid, block
            do = partial(kernel.launch, blocks, threads, [a.tobytes() for a in arguments])
            kernels.launch(active(), name, stream.ptr, here, do)

        return launch


_RUNTIME = SimpleNamespace(
    memcpyHostToDevice=1,
    memcpyAsync=_memcpy_async,
    streamIsCapturing=lambda handle: active().stream_of(handle).graph is not None,
    streamCaptureModeGlobal=0,
    streamCaptureModeRelaxed=2,
)

_CUDA = SimpleNamespace(
    Device=Device,
    Event=Event,
    Memory=Memory,
    MemoryPointer=MemoryPointer,
    Stream=Stream,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=lambda device=None: Stream(real=active().current_stream("cupy", device)),
    is_available=lambda: True,
    nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
    runtime=_RUNTIME,
)

cupy = SimpleNamespace(
    RawModule=RawModule,
    asarray=asarray,
    asnumpy=asnumpy,
    cuda=_CUDA,
    from_dlpack=from_dlpack,
    ndarray=ndarray,
    zeros=zeros,
    zeros_like=zeros_like,
)
"""In place of the module."""
