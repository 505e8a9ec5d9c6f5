"""Measurements on a CUDA device. Not yet run on a GPU."""

from __future__ import annotations

import time
from typing import Any

from .buffers import SharedBuffers, import_torch
from .step import Step, Unavailable

WARM_UP, SAMPLE = 1, 20
"""Milliseconds that `do_bench` spends on warm-up and on measurement."""


class DeviceClock:
    """Device time from CUDA events, with a cold L2 cache before every step.

    ``triton.testing.do_bench`` overwrites a buffer of the cache's size between steps.
    """

    def __init__(self) -> None:
        """Import the timer; raise `Unavailable` without Triton."""
        try:
            from triton.testing import do_bench
        except ImportError:
            raise Unavailable("times on a CUDA device need Triton") from None
        self._do_bench, self._torch = do_bench, import_torch()

    def first(self, step: Step) -> float:
        """Return the wall-clock seconds of one step, including the wait for the device."""
        with step.context():
            self._torch.cuda.synchronize()
            start = time.perf_counter()
            step.run()
            self._torch.cuda.synchronize()
            return time.perf_counter() - start

    def repeats(self, step: Step) -> int:
        """Return 1: `do_bench` chooses the number of repeats itself."""
        return 1

    def sample(self, step: Step, repeats: int) -> float:
        """Return the median seconds of some steps."""
        with step.context():
            found = self._do_bench(step.run, warmup=WARM_UP, rep=SAMPLE, return_mode="median")
            return float(found) / 1e3


def copy_step(buffers: SharedBuffers) -> Step:
    """Return a step in which the device copies as many bytes as an optimizer step moves.

    An optimizer step reads all lists and writes all but the gradients; a copy moves each of its
    bytes twice.
    """
    torch = import_torch()
    written = buffers.bytes - buffers.flat["grads"].nbytes
    half = (buffers.bytes + written) // 2
    source, target = (torch.zeros(half, dtype=torch.uint8, device=buffers.device) for _ in range(2))
    return Step(lambda: target.copy_(source))


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


def host_seconds(step: Step, repeats: int = 20) -> float:
    """Return the host seconds per step, without waiting for the device."""
    torch = import_torch()
    with step.context():
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            step.run()
        taken = (time.perf_counter() - start) / repeats
        torch.cuda.synchronize()
    return taken
