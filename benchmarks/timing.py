"""Times of several contenders, taken in turns, so that a busy machine disturbs all alike."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .contender import Step

SHORTEST = 0.01
"""Seconds that one sample takes at least: of short steps, it is the mean of many."""

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


def interleaved(steps: Mapping[str, Step], rounds: int) -> dict[str, Timing]:
    """Return the times of all steps: every round takes one sample of each."""
    warm_ups = {name: _sample(step, 1) for name, step in steps.items()}
    repeats = {name: _repeats(step) for name, step in steps.items()}
    samples: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for _ in range(rounds):
        for name in order:
            time.sleep(PAUSE)
            samples[name].append(_sample(steps[name], repeats[name]))
        order = [*order[1:], order[0]]  # nobody always follows the same one
    return {name: Timing(tuple(samples[name]), repeats[name], warm_ups[name]) for name in steps}


def _repeats(step: Step) -> int:
    return max(1, round(SHORTEST / _sample(step, 1)))


def _sample(step: Step, repeats: int) -> float:
    """Return the mean seconds of some steps in a row."""
    run, collects = step.run, gc.isenabled()
    with step.around():
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            return (time.perf_counter() - start) / repeats
        finally:
            if collects:
                gc.enable()


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
