"""What is measured of a step on a CUDA device. None of it has run on a GPU yet."""

from __future__ import annotations

import time
from typing import Any

from .buffers import SharedBuffers, import_torch
from .step import Step, Unavailable

WARM_UP, SAMPLE = 1, 20
"""Milliseconds that `do_bench` runs a step unmeasured, and measured."""


class DeviceClock:
    """The device's time by CUDA events, with a cold L2 before every step.

    ``triton.testing.do_bench`` writes a buffer of that size between two steps.
    """

    def __init__(self) -> None:
        """Find what measures."""
        try:
            from triton.testing import do_bench
        except ImportError:
            raise Unavailable("times on a CUDA device need Triton") from None
        self._do_bench, self._torch = do_bench, import_torch()

    def first(self, step: Step) -> float:
        """Return the seconds of one step as the host sees it, the device's work included."""
        with step.around():
            self._torch.cuda.synchronize()
            start = time.perf_counter()
            step.run()
            self._torch.cuda.synchronize()
            return time.perf_counter() - start

    def repeats(self, step: Step) -> int:
        """Return 1: `do_bench` finds out by itself how often to run a step."""
        return 1

    def sample(self, step: Step, repeats: int) -> float:
        """Return the median seconds of some steps."""
        with step.around():
            found = self._do_bench(step.run, warmup=WARM_UP, rep=SAMPLE, return_mode="median")
            return float(found) / 1e3


def copy_step(buffers: SharedBuffers) -> Step:
    """Return a step in which the device copies half the bytes of all lists, and so moves them all.

    A step reads all lists, and writes all but the gradients.
    """
    torch = import_torch()
    written = buffers.bytes - buffers.flat["grads"].nbytes
    half = (buffers.bytes + written) // 2
    source, target = (torch.zeros(half, dtype=torch.uint8, device=buffers.device) for _ in range(2))
    return Step(lambda: target.copy_(source))


def launches(step: Step) -> int:
    """Return how many kernels a step launches, as torch's profiler counts them."""
    torch = import_torch()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with step.around():
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=activities) as profile:
            step.run()
            torch.cuda.synchronize()
    return sum(map(_is_kernel, profile.events()))


def _is_kernel(event: Any) -> bool:
    on_device = "CUDA" in str(event.device_type)
    return on_device and not event.name.startswith(("Memcpy", "Memset"))


def host_seconds(step: Step, repeats: int = 20) -> float:
    """Return the seconds that a step keeps the host, which does not wait for the device."""
    torch = import_torch()
    with step.around():
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            step.run()
        taken = (time.perf_counter() - start) / repeats
        torch.cuda.synchronize()
    return taken
