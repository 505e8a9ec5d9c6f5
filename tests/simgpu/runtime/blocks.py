"""Memory of devices and pinned memory of the host, live or freed.

No address is used twice, so that an access to freed memory is known as what it is; as long as the
machine lives, the bytes themselves stay.
"""

import ctypes
from bisect import bisect_right, insort

import numpy as np

ALIGNMENT = 512
POISON = 0xA5
"""What memory holds that nobody has written, or that was freed."""

PINNED = -1
"""In place of the number of a device."""


class Block:
    """Memory that was allocated at once.

    Attributes:
        device: its number, or `PINNED`.
        address: of the first byte.
        size: in bytes.
        stream: in whose order it is freed; None: it is freed at once.
        recorded: the other streams that the allocator knows to use it, and up to where.
        graph: the graph whose own memory it is, or None.
        born: when the host allocated it.
        died: when the host freed it; None while it is live.
    """

    def __init__(self, device, size, born, stream=None, graph=None):
        """Allocate it, with a gap to the next."""
        self.device, self.size, self.born, self.died = device, size, born, None
        self.stream, self.recorded, self.graph = stream, {}, graph
        self._held = np.full(size + 2 * ALIGNMENT, POISON, np.uint8)
        first = -self._held.ctypes.data % ALIGNMENT
        self.bytes = self._held[first : first + size]
        self.address = self._held.ctypes.data + first

    @property
    def end(self):
        """The address behind the last byte."""
        return self.address + self.size

    def poison(self):
        """Overwrite it."""
        self.bytes[...] = POISON

    def live(self, time, graph=None):
        """Return whether work may use it that was enqueued then, by a graph or by the host."""
        if self.graph is not None and self.graph is graph:
            return True
        return self.born <= time and (self.died is None or time < self.died)

    def __repr__(self):
        """Name it in an error."""
        where = "pinned memory" if self.device == PINNED else f"memory of cuda:{self.device}"
        freed = "" if self.died is None else "freed "
        return f"{freed}{where} ({self.size} bytes at {self.address:#x})"


class Blocks:
    """All memory that there ever was."""

    def __init__(self):
        """Start without memory."""
        self._by_address, self._found = [], {}

    def __iter__(self):
        """Iterate over all."""
        return iter(self._found.values())

    def add(self, block):
        """Take a new block."""
        insort(self._by_address, block.address)
        self._found[block.address] = block
        return block

    def at(self, address):
        """Return the block that an address lies in, or None."""
        place = bisect_right(self._by_address, address) - 1
        block = self._found[self._by_address[place]] if place >= 0 else None
        return block if block is not None and address < max(block.end, block.address + 1) else None


class Place:
    """Where an array lies; keeps nothing alive.

    Attributes:
        shape: of the array.
        strides: in bytes.
        reach: bytes from the first element to the end of the last.
    """

    def __init__(self, address, shape, strides, itemsize):
        """Take the address of the first element."""
        self._address, self._itemsize = address, itemsize
        self.shape, self.strides = tuple(shape), tuple(strides)
        pairs = zip(self.shape, self.strides)
        self.reach = 0 if 0 in self.shape else sum((n - 1) * s for n, s in pairs) + itemsize

    def bytes(self):
        """Return all bytes that it reaches over."""
        return np.frombuffer((ctypes.c_uint8 * self.reach).from_address(self._address), np.uint8)

    def spans(self):
        """Return the spans of addresses of its elements."""
        if not self.reach:
            return []
        first, length = np.array([self._address], np.int64), self._itemsize
        for stride, count in sorted(zip(self.strides, self.shape)):
            if stride == length and len(first) == 1:
                length *= count
            elif count > 1:
                first = (first[:, None] + np.arange(count) * stride).ravel()
        return [(int(begin), int(begin) + length) for begin in np.sort(first)]
