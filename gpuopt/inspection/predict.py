"""What limits a kernel on a GPU, from its code and the GPU's published figures."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import Facts, Main
from .gpus import ARCH, GPUS, WARP, Gpu, resident_warps

LIMITERS = {
    "memory": "memory",
    "issue": "instruction issue",
    "fp32": "float32 units",
    "fp64": "float64 units",
    "special": "special function units",
}


@dataclass(frozen=True)
class Prediction:
    """The main path of a kernel on a GPU.

    Attributes:
        gpu: which.
        limiter: what takes the longest, one of the values of `LIMITERS`.
        fraction: of the peak bandwidth that this leaves, 1 if memory is the limiter.
        busiest: of its time at peak bandwidth, how much the busiest part of a multiprocessor
            works; above 1, memory waits for it.
        latency: nanoseconds of memory latency that the bytes in flight cover at peak
            bandwidth, loads alone.
    """

    gpu: Gpu
    limiter: str
    fraction: float
    busiest: float
    latency: float


def predict(facts: Facts, gpu: Gpu) -> Prediction:
    """Predict; ``facts`` are of a kernel for the GPU's architecture that has a main path."""
    assert facts.main is not None
    memory = facts.main.total_bytes / gpu.bandwidth  # ns for one element
    times = _times(facts.main, gpu)
    slowest = max(times, key=lambda part: times[part])
    busy = times[slowest] / memory
    return Prediction(
        gpu,
        LIMITERS["memory" if busy <= 1 else slowest],
        min(1.0, 1 / busy),
        busy,
        bytes_in_flight(facts) * gpu.multiprocessors / gpu.bandwidth,
    )


def predictions(facts: Facts) -> list[Prediction]:
    """Predict for every GPU of the kernel's architecture."""
    if facts.main is None:
        return []
    return [predict(facts, gpu) for gpu in GPUS if gpu.arch == facts.case.arch]


def warps(facts: Facts) -> int:
    """Return the warps that are resident on a multiprocessor."""
    return resident_warps(facts.case.arch, facts.registers, facts.threads)


def bytes_in_flight(facts: Facts) -> int:
    """Return what all resident threads of a multiprocessor ask for before they wait."""
    return warps(facts) * WARP * facts.main.in_flight if facts.main else 0


def _times(main: Main, gpu: Gpu) -> dict[str, float]:
    """Return the nanoseconds that each part of the GPU works for one element."""
    lanes = ARCH[gpu.arch].lanes
    operations = {"issue": main.total_instructions, **main.pipes}
    return {
        part: count / (lanes[part] * gpu.multiprocessors * gpu.clock)
        for part, count in operations.items()
    }
