"""Times on a device without the host's share; on the CPU, in their place, plain times."""

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from tests.gpu.programs.common import wait

FLUSHED = 1 << 28
"""Bytes that are overwritten before each step: more than any L2 cache holds."""


def copy_rate(device):
    """Return the bytes that a copy on the device reads and writes in a second."""
    size = 1 << (30 if device == "cuda" else 20)
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / replayed(lambda: target.copy_(source), device)


def replayed(step, device, repeats=20):
    """Return the seconds of a step that a CUDA graph replays."""
    for _ in range(2):
        step()
    wait(device)
    if device == "cpu":
        return host_seconds(step, device, repeats)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        graph.replay()
    end.record()
    wait(device)
    return start.elapsed_time(end) / 1e3 / repeats


def host_seconds(step, device, repeats=50):
    """Return the seconds that a step keeps the host."""
    for _ in range(2):
        step()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    taken = (time.perf_counter() - start) / repeats
    wait(device)
    return taken


def kernels(step, device, repeats=7, flush=True):
    """Return the kernels and copies of a step: the median of seconds, and how many of a name."""
    if device == "cpu":
        return {}
    dirty = torch.empty(FLUSHED if flush else 0, dtype=torch.uint8, device=device)
    step()
    wait(device)
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(repeats):
            dirty.zero_()
            step()
        wait(device)
    taken = {}
    for event in _events(found):
        flushing = "fill" in event["name"].lower() and "multi_tensor" not in event["name"]
        if event.get("cat") in ("kernel", "gpu_memcpy") and not flushing:
            taken.setdefault(event["name"][:60], []).append(event["dur"] / 1e6)
    return {
        name: {"seconds": statistics.median(each), "count": len(each) / repeats}
        for name, each in taken.items()
    }


def _events(found):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        found.export_chrome_trace(str(file))
        return json.loads(file.read_text())["traceEvents"]
