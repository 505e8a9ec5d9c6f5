"""Times of several contenders, taken in turns, so that a busy machine disturbs all alike."""

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
"""Seconds that one sample takes at least: of short steps, it is the mean of many."""

MOST_COLD = 20
"""Steps of a sample at most, where the cache is emptied before each."""

T = TypeVar("T")

PAUSE = 0.005
"""Seconds between two contenders: OpenMP's threads go on spinning after their work."""


@dataclass(frozen=True)
class Timing:
    """The seconds of one step of one contender.

    Attributes:
        samples: one a round.
        repeats: how many steps a sample is the mean of.
        warm_up: the first step, with all that is compiled or built in it.
    """

    samples: tuple[float, ...]
    repeats: int
    warm_up: float

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.samples))

    @property
    def spread(self) -> tuple[float, float, float]:
        """The least, and the first and third quartile."""
        low, first, third = np.percentile(self.samples, (0, 25, 75)).tolist()
        return low, first, third

    def ratio(self, other: Timing) -> float:
        """Return how many times as long ``other`` takes: the median over the rounds."""
        return float(np.median(np.divide(other.samples, self.samples)))


class Clock(Protocol):
    """Something that takes times."""

    def first(self, step: Step) -> float:
        """Return the seconds of one step, as it comes."""

    def repeats(self, step: Step) -> int:
        """Return how many steps make a sample."""

    def sample(self, step: Step, repeats: int) -> float:
        """Return the seconds of a step, from that many of them."""


class HostClock:
    """The time that the host sees, all of Python included.

    Args:
        cold: empty the caches before every step, outside the clock: as after a backward pass.
        processor: take the processor's time, of all threads, in place of the clock's.
    """

    def __init__(self, cold: bool = False, processor: bool = False) -> None:
        """Take what is to be done between two steps."""
        self._cold, self._processor = cold, processor

    def _mean(self, step: Step, repeats: int, cold: bool) -> float:
        now = time.process_time if self._processor else time.perf_counter
        return _mean(step, repeats, cold, now)

    def first(self, step: Step) -> float:
        """Return the seconds of one step, as it comes."""
        return self._mean(step, 1, False)

    def repeats(self, step: Step) -> int:
        """Return how many steps take the shortest time that is worth measuring."""
        wanted = max(1, round(SHORTEST / self._mean(step, 1, self._cold)))
        return min(wanted, MOST_COLD) if self._cold else wanted

    def sample(self, step: Step, repeats: int) -> float:
        """Return the mean seconds of some steps."""
        return self._mean(step, repeats, self._cold)


def interleaved(
    steps: Mapping[str, Step],
    rounds: int,
    clock: Clock | None = None,
    failed: MutableMapping[str, Exception] | None = None,
) -> dict[str, Timing]:
    """Return the times of all steps: every round takes one sample of each.

    Args:
        steps: by name.
        rounds: how many samples of each.
        clock: what takes the times.
        failed: takes the error of a step that fails, and the others go on; without it, none do.
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

    def sample(name: str) -> float:
        time.sleep(PAUSE)
        return clock.sample(alive[name], repeats[name])

    warm_ups = each(list(alive), lambda name: clock.first(alive[name]))
    repeats = each(list(alive), lambda name: clock.repeats(alive[name]))
    samples, order = [], list(steps)
    for _ in range(rounds):
        samples.append(each([name for name in order if name in alive], sample))
        order = [*order[1:], *order[:1]]  # nobody always follows the same one
    return {
        name: Timing(tuple(taken[name] for taken in samples), repeats[name], warm_ups[name])
        for name in alive
    }


def _mean(step: Step, repeats: int, cold: bool, now: Callable[[], float]) -> float:
    """Return the mean seconds of some steps in a row, the cache emptied before each or not."""
    run, collects, taken = step.run, gc.isenabled(), 0.0
    with step.around():
        gc.disable()
        try:
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
        finally:
            if collects:
                gc.enable()
    return taken / repeats


# --- the cache ----------------------------------------------------------------------------------


def cache_bytes() -> int:
    """Return the size of the largest cache, where Linux says it; else 32 MiB."""
    found = [32 << 20]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        if text[:-1].isdigit() and text[-1] in "KM":
            found.append(int(text[:-1]) << {"K": 10, "M": 20}[text[-1]])
    return max(found)


_PIECE = 1 << 12
"""Numbers of the filler: what a thread writes is a multiple of it."""


@cache
def _filler() -> npt.NDArray[Any]:
    return np.zeros(-(-2 * cache_bytes() // 8 // _PIECE) * _PIECE, np.int64)


def empty_cache() -> None:
    """Write memory twice as large as the largest cache, on as many threads as a step has.

    A step finds what it would after taking turns among copies of its tensors that are larger than
    the cache: nothing of its own, and lines that go back to memory first. The copies would cost
    each contender their memory. Each core has caches of its own: one thread would leave others'.
    """
    filler = _filler()

    def write(first: int, last: int) -> None:
        part = filler[first * _PIECE : last * _PIECE]
        np.add(part, 1, out=part)

    for_each_share(write, _PIECE * np.arange(1, len(filler) // _PIECE + 1))


# --- threads ------------------------------------------------------------------------------------


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give gpuopt and torch the same number of threads inside the block."""
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
