"""Interleaved timing of contenders, so that a busy machine affects all of them equally."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from gpuopt.kernels.threads import for_each_share

from .step import Step

SHORTEST = 0.01
"""Minimum seconds of a sample, which is the mean of several steps if they are short."""

MOST_COLD = 20
"""Maximum steps of a sample with a cold cache, which is flushed before each."""

T = TypeVar("T")

PAUSE = 0.005
"""Seconds between two samples: OpenMP's threads spin for a while after their work."""


@dataclass(frozen=True)
class Sample:
    """The seconds per step of one contender in one round.

    Attributes:
        seconds: device time, if the clock measures that, otherwise host time.
        host: the host time if ``seconds`` is device time, otherwise None.
        waits: whether the device waited for the host meanwhile; None without a device.
    """

    seconds: float
    host: float | None = None
    waits: bool | None = None


@dataclass(frozen=True)
class Timing:
    """The seconds per step of one contender.

    Attributes:
        samples: one per round.
        repeats: the number of steps in a sample.
        warm_up: the first step, compilation included.
        host: the host time of each sample if ``samples`` are device times, otherwise empty.
        waits: whether the device waited for the host in a sample; None without a device.
    """

    samples: tuple[float, ...]
    repeats: int
    warm_up: float
    host: tuple[float, ...] = ()
    waits: bool | None = None

    @staticmethod
    def of(samples: Sequence[Sample], repeats: int, warm_up: float) -> Timing:
        """Return the timing of a contender's samples."""
        host = tuple(each.host for each in samples if each.host is not None)
        waits = any(each.waits for each in samples) if host else None
        return Timing(tuple(each.seconds for each in samples), repeats, warm_up, host, waits)

    @property
    def median(self) -> float:
        """The median sample."""
        return float(np.median(self.samples))

    @property
    def median_host(self) -> float | None:
        """The median host time."""
        return float(np.median(self.host)) if self.host else None

    @property
    def spread(self) -> tuple[float, float, float]:
        """The minimum, the first and the third quartile."""
        low, first, third = np.percentile(self.samples, (0, 25, 75)).tolist()
        return low, first, third

    def ratio(self, other: Timing) -> float:
        """Return the speedup over ``other``: the median over the rounds."""
        return float(np.median(np.divide(other.samples, self.samples)))


class Clock(Protocol):
    """Measures the time of steps."""

    def first(self, step: Step) -> float:
        """Return the seconds of one step, without warm-up or cache flush."""

    def repeats(self, step: Step) -> int:
        """Return the number of steps per sample."""

    def sample(self, step: Step, repeats: int) -> Sample:
        """Return the seconds per step over that many steps."""


class HostClock:
    """Host time, including Python.

    Args:
        cold: flush the caches before every step, untimed, as a backward pass would.
        processor: measure the processor time of all threads instead of wall-clock time.
    """

    def __init__(self, cold: bool = False, processor: bool = False) -> None:
        """Store the options."""
        self._cold, self._processor = cold, processor

    def _mean(self, step: Step, repeats: int, cold: bool) -> float:
        now = time.process_time if self._processor else time.perf_counter
        return _mean(step, repeats, cold, now)

    def first(self, step: Step) -> float:
        """Return the seconds of one step, without warm-up or cache flush."""
        return self._mean(step, 1, False)

    def repeats(self, step: Step) -> int:
        """Return the number of steps that take `SHORTEST` seconds."""
        wanted = max(1, round(SHORTEST / self._mean(step, 1, self._cold)))
        return min(wanted, MOST_COLD) if self._cold else wanted

    def sample(self, step: Step, repeats: int) -> Sample:
        """Return the mean seconds of a step."""
        return Sample(self._mean(step, repeats, self._cold))


def interleaved(
    steps: Mapping[str, Step],
    rounds: int,
    clock: Clock | None = None,
    failed: MutableMapping[str, Exception] | None = None,
) -> dict[str, Timing]:
    """Return the times of all steps; each round takes one sample of each.

    Args:
        steps: the steps by name.
        rounds: the number of samples per step.
        clock: measures the times; a `HostClock` by default.
        failed: collects the errors of failed steps, which are dropped; None raises them.
    """
    clock, alive = clock or HostClock(), dict(steps)

    def each(order: Sequence[str], take: Callable[[str], T]) -> dict[str, T]:
        found = {}
        for name in order:
            try:
                found[name] = take(name)
            except Exception as error:
                if failed is None:
                    raise
                failed[name] = error
                del alive[name]
        return found

    def sample(name: str) -> Sample:
        time.sleep(PAUSE)
        return clock.sample(alive[name], repeats[name])

    warm_ups = each(list(alive), lambda name: clock.first(alive[name]))
    repeats = each(list(alive), lambda name: clock.repeats(alive[name]))
    samples, order = [], list(steps)
    for _ in range(rounds):
        samples.append(each([name for name in order if name in alive], sample))
        order = [*order[1:], *order[:1]]  # so each step has different predecessors
    return {
        name: Timing.of([taken[name] for taken in samples], repeats[name], warm_ups[name])
        for name in alive
    }


def _mean(step: Step, repeats: int, cold: bool, now: Callable[[], float]) -> float:
    """Return the mean seconds of consecutive steps, the cache flushed before each if cold."""
    run, taken = step.run, 0.0
    with step.context(), without_collector():
        if cold:
            for _ in range(repeats):
                empty_cache()
                start = now()
                run()
                taken += now() - start
        else:
            start = now()
            for _ in range(repeats):
                run()
            taken = now() - start
    return taken / repeats


@contextmanager
def without_collector() -> Iterator[None]:
    """Disable the garbage collector inside the block."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


# --- the cache ----------------------------------------------------------------------------------


def cache_bytes() -> int:
    """Return the size of the largest cache if Linux reports more than 32 MiB, else 32 MiB."""
    found = [32 << 20]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        if text[:-1].isdigit() and text[-1] in "KM":
            found.append(int(text[:-1]) << {"K": 10, "M": 20}[text[-1]])
    return max(found)


_PIECE = 1 << 12
"""Each thread writes a multiple of this many elements of the filler."""


@cache
def _filler() -> npt.NDArray[Any]:
    return np.zeros(-(-2 * cache_bytes() // 8 // _PIECE) * _PIECE, np.int64)


def empty_cache() -> None:
    """Write memory twice the size of the largest cache, on as many threads as a step uses.

    A step then finds none of its own data in the caches, only dirty lines that must be written
    back first. All threads take part because each core has private caches.
    """
    filler = _filler()

    def write(first: int, last: int) -> None:
        part = filler[first * _PIECE : last * _PIECE]
        np.add(part, 1, out=part)

    for_each_share(write, _PIECE * np.arange(1, len(filler) // _PIECE + 1))


# --- threads ------------------------------------------------------------------------------------


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of threads of gpuopt and torch inside the block."""
    variable, torch = "GPUOPT_NUM_THREADS", sys.modules.get("torch")
    before, before_torch = os.environ.get(variable), torch and torch.get_num_threads()
    os.environ[variable] = str(count)
    if torch is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
        if torch is not None:
            torch.set_num_threads(before_torch)
