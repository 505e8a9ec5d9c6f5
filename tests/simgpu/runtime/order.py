"""Streams and events as vector clocks: which work happens before which other work.

A clock says for each stream how many of its pieces of work are done. Every piece of work has the
clock at which it may begin, and its number in its own stream.
"""

import itertools

_handles = itertools.count(0x7F00_0000, 16)


class Clock(dict):
    """By stream, how many pieces of its work happen before something."""

    def join(self, other):
        """Let everything of another clock happen before, too."""
        for stream, count in other.items():
            if self.get(stream, 0) < count:
                self[stream] = count

    def reaches(self, other):
        """Return whether everything of another clock happens before."""
        return all(self.get(stream, 0) >= count for stream, count in other.items())


class Stream:
    """A queue of work.

    Attributes:
        device: its number.
        handle: as a library passes it on; 0 for the legacy default stream of a device.
        blocking: whether it and the default stream wait for each other.
        clock: what happens before the next piece of work.
        count: pieces of work so far.
        graph: what captures it, or None.
    """

    def __init__(self, device, blocking=False, default=False):
        """Make an empty stream."""
        self.device, self.blocking = device, blocking
        self.handle = 0 if default else next(_handles)
        self.clock, self.count, self.graph = Clock(), 0, None

    def __repr__(self):
        """Name it in an error."""
        name = f"stream {self.handle:#x}" if self.handle else "the default stream"
        return f"{name} of cuda:{self.device}"


class Event:
    """A point in a stream.

    Attributes:
        clock: what happens before it; None before it is recorded.
        graph: where it was captured, or None.
    """

    def __init__(self):
        """Make one that was not recorded."""
        self.clock, self.graph = None, None


class Work:
    """Something that a stream does.

    Attributes:
        name: in an error.
        stream: that does it.
        clock: what happens before it, and itself.
        needs: what must be known to be over when it is done.
        index: its number in its stream.
        time: of the host when it was enqueued.
        graph: the graph that replays it, or None.
        peer: the number of another device whose memory it may use, or None.
        do: does it; returns the spans of bytes that it read, and those that it wrote.
    """

    def __init__(self, name, stream, do, time, graph=None, peer=None):
        """Describe it."""
        self.peer = peer
        self.name, self.stream, self.do, self.time, self.graph = name, stream, do, time, graph
        self.clock, self.needs, self.index = Clock(), None, 0
        self.reads, self.writes = [], []

    def before(self, other):
        """Return whether it happens before other work."""
        return other.clock.get(self.stream, 0) >= self.index

    def within(self, clock):
        """Return whether it is done before whoever has a clock."""
        return clock.reaches(self.clock if self.needs is None else self.needs)

    def __repr__(self):
        """Name it in an error."""
        return f"{self.name} in {self.stream}"


def common(spans, others):
    """Return the first bytes that two sorted lists of spans share, or None.

    >>> common([(0, 4), (8, 12)], [(4, 8), (10, 20)])
    (10, 12)
    """
    i = k = 0
    while i < len(spans) and k < len(others):
        low, high = max(spans[i][0], others[k][0]), min(spans[i][1], others[k][1])
        if low < high:
            return low, high
        if spans[i][1] <= others[k][1]:
            i += 1
        else:
            k += 1
    return None
