"""Measurements on a CUDA device. Not yet run on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from .buffers import import_torch
from .step import Step
from .timing import Sample, without_collector

FLUSH = 1 << 28
"""Bytes written before each step: more than twice the largest L2 cache."""

CYCLES = 3e9
"""Cycles per second of a clock faster than any GPU's, so that no sleep is too short."""

SLACK, LONGEST = 50e-6, 0.25
"""Seconds added to a sleep of twice the host's time, and the longest sleep."""

STRETCH = 16
"""The factor by which a sleep may grow before giving up."""

SAMPLE, FEWEST, MOST = 0.02, 3, 50
"""Wall-clock seconds of a sample, and the limits of its steps."""


def sleep(seconds: float) -> None:
    """Make the device idle for at least that long, without waiting on the host."""
    import_torch().cuda._sleep(round(seconds * CYCLES))


class Taken(NamedTuple):
    """One step: the device's seconds, the host's, and whether the device waited for the host."""

    device: float
    host: float
    waits: bool


class DeviceClock:
    """Device time between two events, and the host's time, with a cold L2 cache before every step.

    Before the first event the device sleeps for longer than the host takes to enqueue the step, so
    that it never waits for the host between the events. This is checked at every step: when the
    host is done, the first event must still be pending. If it is not, the step is repeated after a
    sleep of twice the length. If no sleep is long enough, because the step waits for the device or
    launches more than its queue holds, it is timed without one, and marked as waiting.
    """

    def __init__(self) -> None:
        """Create the events and the buffer that evicts the cache."""
        torch = import_torch()
        self._cuda = torch.cuda
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._filler = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")
        self._sleeps: dict[Step, float] = {}

    def first(self, step: Step) -> float:
        """Return the wall-clock seconds of one step, including the wait for the device."""
        with step.context():
            self._cuda.synchronize()
            start = time.perf_counter()
            step.run()
            self._cuda.synchronize()
            return time.perf_counter() - start

    def repeats(self, step: Step) -> int:
        """Return the number of steps of a sample, and find the sleep that hides the host."""
        with step.context(), without_collector():
            host = median(self._take(step.run, 0.0).host for _ in range(3))
            length = min(SLACK + 2 * host, LONGEST)
            found, length = self._behind_sleep(step.run, length)
            self._sleeps[step] = 0.0 if found.waits else length
            start = time.perf_counter()
            self._take(step.run, self._sleeps[step])
            wall = time.perf_counter() - start
        return min(max(round(SAMPLE / wall), FEWEST), MOST)

    def sample(self, step: Step, repeats: int) -> Sample:
        """Return the median seconds of some steps."""
        length = self._sleeps[step]
        with step.context(), without_collector():
            taken = [self._behind_sleep(step.run, length)[0] for _ in range(repeats)]
        return Sample(
            median(each.device for each in taken),
            median(each.host for each in taken),
            any(each.waits for each in taken),
        )

    def _behind_sleep(self, run: Callable[[], object], length: float) -> tuple[Taken, float]:
        """Run a step after a sleep, doubled until it hides the host; also return its length."""
        found, longest = self._take(run, length), min(STRETCH * length, LONGEST)
        while found.waits and length < longest:
            length = min(2 * length, longest)
            found = self._take(run, length)
        return found, length

    def _take(self, run: Callable[[], object], length: float) -> Taken:
        """Run one step after a sleep."""
        self._filler.zero_()
        if length:
            sleep(length)
        self._start.record()
        start = time.perf_counter()
        run()
        host = time.perf_counter() - start
        self._end.record()
        waits = self._start.query()
        self._cuda.synchronize()
        return Taken(self._start.elapsed_time(self._end) / 1e3, host, waits)


COPIED = 1 << 30
"""The maximum bytes that one call of the copy moves; more bytes take several calls."""


def copy_step(moved: int, device: str) -> Step:
    """Return a step in which the device copies half as many bytes: it reads and writes each."""
    torch = import_torch()
    times, rest = divmod(moved // 2, COPIED)
    size = COPIED if times else rest
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    parts = [(target, source)] * times + [(target[:rest], source[:rest])] * bool(rest)

    def copy() -> None:
        for to, what in parts:
            to.copy_(what)

    return Step(copy)


def launches(step: Step) -> int:
    """Return the number of kernels that a step launches, from torch's profiler."""
    torch = import_torch()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with step.context():
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=activities) as profile:
            step.run()
            torch.cuda.synchronize()
    return sum(map(_is_kernel, profile.events()))


def _is_kernel(event: Any) -> bool:
    on_device = "CUDA" in str(event.device_type)
    return on_device and not event.name.startswith(("Memcpy", "Memset"))
