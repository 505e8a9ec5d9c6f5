"""Launches of simulated kernels: done later, and only in the live memory of their device."""

import re

import numpy as np

from ..memory import Region, only
from ..run import Fault
from .machine import MemoryFault


class ContextError(RuntimeError):
    """A kernel is launched on another device than it was loaded on."""


def launch(machine, name, handle, device, run):
    """Enqueue a launch.

    Args:
        machine: that does it.
        name: of the kernel.
        handle: of the stream.
        device: the number of the one that the kernel was loaded on.
        run: runs it at once.
    """
    stream = machine.stream_of(handle)
    if device != stream.device:
        raise ContextError(f"{name} was loaded on cuda:{device}, and is launched in {stream}")
    machine.enqueue(name, stream, lambda work: _run(machine, work, run))


def _run(machine, work, run):
    """Run a kernel; return what it loaded and what it stored."""
    regions = [
        Region(block.address, block.size, True, *np.zeros((2, block.size), np.uint8))
        for block in machine.blocks
        if block.size and block.device == work.stream.device and block.live(work.time, work.graph)
    ]
    try:
        with only(regions):
            run()
    except Fault as fault:
        found = re.search(r"bytes at (0x[0-9a-f]+)", str(fault))
        block = machine.blocks.at(int(found.group(1), 16)) if found else None
        where = "" if block is None else f", which is {block}"
        raise MemoryFault(f"{work}: {fault}{where}") from fault
    loaded = [span for region in regions for span in _spans(region, region.loads)]
    return loaded, [span for region in regions for span in _spans(region, region.stores)]


def _spans(region, counts):
    """Return the spans of addresses whose bytes were counted."""
    edges = np.flatnonzero(np.diff((counts > 0).view(np.int8), prepend=0, append=0))
    return [tuple(pair) for pair in (region.address + edges).reshape(-1, 2).tolist()]
