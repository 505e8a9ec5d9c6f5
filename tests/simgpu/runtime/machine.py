"""Two devices: what is enqueued to them, when it is done, and which errors of the host that shows.

Work is done as late as the host's calls allow. When it is done, its bytes are compared with those
of all other work: if two pieces without an order between them use the same bytes, and one writes
them, that is an error; so is the use of memory that was freed before the work was enqueued, or that
lies on another device.
"""

import weakref
from contextlib import contextmanager

from .blocks import PINNED, Block, Blocks
from .graphs import RELAXED, STRICT, CaptureError, Graph
from .order import Clock, Stream, Work, common


class RaceError(RuntimeError):
    """Two pieces of work use the same bytes in no order, and one writes them."""


class MemoryFault(RuntimeError):
    """Work uses memory that is not, or is no longer, its own to use."""


_active = []


@contextmanager
def using(machine):
    """Let the libraries use a machine in the block."""
    _active.append(machine)
    try:
        yield machine
    finally:
        _active.remove(machine)


def active():
    """Return the machine that the libraries use."""
    return _active[-1]


class Machine:
    """The simulated machine.

    Attributes:
        blocks: all memory.
        device: the number of the current device.
        current: by library and device, the current stream.
    """

    def __init__(self, devices=2):
        """Start with nothing."""
        self.devices, self.device = devices, 0
        self.defaults = [Stream(i, blocking=True, default=True) for i in range(devices)]
        self.streams = list(self.defaults)
        self.current = {}
        self.blocks = Blocks()
        self._time, self._host = 0, Clock()
        self._pending, self._done, self._reusable = [], [], []
        self._errors, self._broken = [], False
        self._freed_meanwhile, self._busy = [], False

    # --- streams ---------------------------------------------------------------------------------

    def stream(self, device, blocking=False):
        """Return a new stream."""
        self.streams.append(Stream(device, blocking))
        return self.streams[-1]

    def stream_of(self, handle):
        """Return the stream of a handle; 0 and 1 are the default stream of the current device."""
        if handle in (0, 1):
            return self.defaults[self.device]
        return next(s for s in self.streams if s.handle == handle)

    def current_stream(self, library, device=None):
        """Return the stream that a library now uses on a device, the current one by default."""
        device = self.device if device is None else device
        return self.current.get((library, device), self.defaults[device])

    def record(self, event, stream):
        """Record an event in a stream."""
        if stream.graph is not None:
            stream.graph.record(event, stream)
        else:
            event.graph, event.clock = None, Clock(self._begin(stream))

    def wait(self, stream, event):
        """Let the later work of a stream wait for an event."""
        graph = event.graph or stream.graph
        if graph is not None:
            graph.wait(stream, event)
        elif event.clock is not None:
            stream.clock.join(event.clock)

    def _begin(self, stream):
        """Return what happens before the next work of a stream."""
        clock = Clock(stream.clock)
        clock.join(self._host)
        for other in self._implied(stream):
            if other.graph is not None:
                raise CaptureError(f"work in {stream} would wait for {other}, which is captured")
            clock.join(other.clock)
        return clock

    def _implied(self, stream):
        """Return the streams that a stream waits for without being told."""
        if not stream.handle:
            return [s for s in self.streams if s.blocking and s.device == stream.device]
        return [self.defaults[stream.device]] if stream.blocking else []

    # --- work ------------------------------------------------------------------------------------

    def enqueue(self, name, stream, do, graph=None, peer=None):
        """Let a stream do something; see `order.Work`."""
        self._raise()
        if stream.graph is not None:
            stream.graph.capture(name, stream, do, peer)
            return
        work = Work(name, stream, do, self._tick(), graph, peer)
        work.clock = self._begin(stream)
        stream.count += 1
        work.index = work.clock[stream] = stream.count
        stream.clock = Clock(work.clock)
        self._pending.append(work)

    def wait_for(self, stream):
        """Wait, as the host, for everything in a stream."""
        self._not_captured("waits for a stream", stream)
        self._finish(self._begin(stream))

    def wait_for_event(self, event):
        """Wait, as the host, for an event."""
        self._not_captured("waits for an event", event)
        if event.clock is not None:
            self._finish(event.clock)

    def wait_for_device(self, device=None):
        """Wait, as the host, for everything on a device, or on all."""
        self._not_captured("waits for a device")
        clock = Clock()
        for stream in self.streams:
            if device in (None, stream.device):
                clock.join(stream.clock)
        self._finish(clock)

    def is_done(self, event):
        """Return whether the host knows that an event is over; nothing gets done by asking."""
        self._not_captured("asks for an event", event)
        return event.clock is None or self._host.reaches(event.clock)

    def finish(self):
        """Do everything that is left, and raise what went wrong."""
        self.wait_for_device()
        left, self._pending = self._pending, []
        self._do_all(left)
        self._raise()

    def _finish(self, clock):
        self._host.join(clock)
        ready = [work for work in self._pending if work.within(self._host)]
        self._pending = [work for work in self._pending if not work.within(self._host)]
        self._do_all(ready)
        if not self._pending:
            self._done.clear()  # whatever is enqueued from now on happens after it
        self._raise()

    def _do_all(self, ready):
        """Do work; memory that is freed meanwhile, by a garbage collection, is freed behind it."""
        self._busy = True
        for work in ready:
            self._do(work)
        self._busy = False
        while self._freed_meanwhile:
            self.free(self._freed_meanwhile.pop())

    def _do(self, work):
        """Do work and check it; behind the first that fails, nothing is done."""
        if self._broken:
            return
        try:
            work.reads, work.writes = map(sorted, work.do(work))
            self._check_memory(work)
            self._check_order(work)
        except Exception as error:
            self._errors.append(error)
            self._broken = True
        self._done.append(work)

    def _raise(self):
        """Raise what went wrong since the last time."""
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

    def _check_memory(self, work):
        for begin, end in (*work.reads, *work.writes):
            block = self.blocks.at(begin)
            if block is None or end > block.end:
                raise MemoryFault(f"{work} uses {begin:#x} to {end:#x}, which nobody allocated")
            if block.device not in (PINNED, work.stream.device, work.peer):
                raise MemoryFault(f"{work} uses {block}")
            if not block.live(work.time, work.graph):
                raise MemoryFault(f"{work} was enqueued when this was freed: {block}")

    def _check_order(self, work):
        for other in self._done:
            if other.before(work) or work.before(other):
                continue
            found = (
                common(work.writes, other.writes)
                or common(work.writes, other.reads)
                or common(work.reads, other.writes)
            )
            if found:
                raise RaceError(
                    f"{other} and {work} have no order, and both use {found[1] - found[0]} bytes "
                    f"of {self.blocks.at(found[0])}"
                )

    # --- memory ----------------------------------------------------------------------------------

    def _tick(self):
        self._time += 1
        return self._time

    def allocate(self, size, stream=None, device=None):
        """Return memory and an array over it, which frees it at its end.

        Args:
            size: in bytes.
            stream: in whose order it is used and freed; None: freeing it waits for the device.
            device: where, if there is no stream; `PINNED` for memory of the host.
        """
        graph = stream.graph if stream is not None else None
        if stream is None:
            self._not_captured("allocates memory")
        if device == PINNED:
            self._reuse_pinned()
        where = device if stream is None else stream.device
        block = self.blocks.add(Block(where, size, self._tick(), stream, graph))
        owner = block.bytes[:]
        weakref.finalize(owner, self._noted, self.free, block).atexit = False
        return block, owner

    def free(self, block):
        """Free memory as the allocator of its kind does."""
        if block.graph is not None:
            return  # the graph keeps it
        if self._busy:
            self._freed_meanwhile.append(block)
            return
        if block.stream is not None:
            block.died = self._tick()
            self._poison_in_order(block)
            return
        if block.device == PINNED:
            block.died = self._tick()
            self._reusable.append(block)
            return
        self._not_captured("frees memory")
        self.wait_for_device(block.device)
        block.died = self._tick()
        block.poison()

    def _reuse_pinned(self):
        """Overwrite freed pinned memory, but for copies under way that its allocator knows of."""
        for block in [
            b for b in self._reusable if all(map(self._host.reaches, b.recorded.values()))
        ]:
            block.poison()
            self._reusable.remove(block)

    def _poison_in_order(self, block):
        """Overwrite a block behind the work of the streams that its allocator knows of."""

        def do(work):
            block.poison()
            return [], [(block.address, block.end)] if block.size else []

        reuse = Stream(block.stream.device)
        for stream in (block.stream, *block.recorded):
            if stream.graph is None:
                reuse.clock.join(self._begin(stream))
        work = Work(f"the reuse of {block}", reuse, do, block.born)
        work.clock, work.needs, work.index = Clock(reuse.clock), reuse.clock, 1
        work.clock[reuse] = 1
        self._pending.append(work)

    def _noted(self, function, *arguments):
        """Call a function where nobody can catch what it raises: it is raised later."""
        try:
            function(*arguments)
        except Exception as error:
            self._errors.append(error)

    # --- capture ---------------------------------------------------------------------------------

    def begin_capture(self, stream, mode=STRICT):
        """Begin to capture a stream."""
        if not stream.handle:
            raise CaptureError("the default stream cannot be captured")
        return Graph(self, stream, mode)

    def captures(self):
        """Return the graphs that are being captured."""
        return list({id(s.graph): s.graph for s in self.streams if s.graph is not None}.values())

    def load_module(self, name):
        """Note that code is loaded to the current device; return its number."""
        self._not_captured(f"loads {name}")
        return self.device

    def _not_captured(self, what, of=None):
        """Raise if the host does what a capture does not allow."""
        graph = None if of is None else of.graph
        if graph is not None:
            raise CaptureError(f"the host {what} that is captured")
        if any(graph.mode != RELAXED for graph in self.captures()):
            raise CaptureError(f"the host {what} while a graph is captured")
