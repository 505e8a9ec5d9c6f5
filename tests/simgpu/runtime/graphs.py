"""Graphs: what streams were asked to do between two calls, and can do again."""

from .order import Event, Stream

STRICT, RELAXED = "global", "relaxed"
"""Modes of a capture: whether calls that may wait for a device are errors, or only those that ask
for captured work."""


class CaptureError(RuntimeError):
    """A call that is not allowed while a graph is captured."""


class Graph:
    """Work that is captured, and replayed.

    Attributes:
        machine: that does it.
        origin: the stream whose capture began.
        mode: of the capture.
        streams: all that are captured: the origin, and those that waited for it.
        calls: what is replayed.
    """

    def __init__(self, machine, origin, mode):
        """Begin a capture."""
        self.machine, self.origin, self.mode = machine, origin, mode
        self.streams, self.calls = [], []
        self.add(origin)

    def add(self, stream):
        """Capture a stream, too."""
        stream.graph = self
        self.streams.append(stream)

    def end(self):
        """End the capture."""
        for stream in self.streams:
            stream.graph = None

    def capture(self, name, stream, do, peer):
        """Note work."""
        self.calls.append(lambda found: self.machine.enqueue(name, found(stream), do, self, peer))

    def record(self, event, stream):
        """Note that an event is recorded."""
        event.graph, event.clock = self, None
        self.calls.append(lambda found: self.machine.record(found(event), found(stream)))

    def wait(self, stream, event):
        """Note that a stream waits."""
        if event.graph is not self:
            raise CaptureError(f"{stream} waits for an event that the graph does not know")
        if stream.graph is None:
            self.add(stream)
        self.calls.append(lambda found: self.machine.wait(found(stream), found(event)))

    def replay(self, stream):
        """Let a stream do everything again; the graph's other streams start with it."""
        streams, events, start = {self.origin: stream}, {}, Event()
        self.machine.record(start, stream)

        def found(old):
            if isinstance(old, Event):
                return events.setdefault(old, Event())
            if old not in streams:
                streams[old] = Stream(old.device)
                self.machine.wait(streams[old], start)
            return streams[old]

        for call in self.calls:
            call(found)
        for own in streams.values():
            stream.clock.join(own.clock)
