"""Predict the bottleneck of a kernel on a GPU, from its code and the GPU's published figures."""

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
    """The prediction for a kernel's main path on a GPU.

    Attributes:
        gpu: the GPU.
        limiter: the bottleneck, one of the values of `LIMITERS`.
        fraction: of the peak bandwidth that is reached; 1 if memory is the bottleneck.
        busiest: the utilization of the busiest unit at peak bandwidth; above 1, it is the
            bottleneck.
        latency: nanoseconds of memory latency that the loads in flight hide at peak bandwidth.
    """

    gpu: Gpu
    limiter: str
    fraction: float
    busiest: float
    latency: float


def predict(facts: Facts, gpu: Gpu) -> Prediction:
    """Return the prediction for a kernel with a main path, compiled for the GPU's architecture."""
    assert facts.main is not None
    memory = facts.main.total_bytes / gpu.bandwidth  # ns per element
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
    """Return the predictions for every GPU of the kernel's architecture."""
    if facts.main is None:
        return []
    return [predict(facts, gpu) for gpu in GPUS if gpu.arch == facts.case.arch]


def warps(facts: Facts) -> int:
    """Return the resident warps per multiprocessor."""
    return resident_warps(facts.case.arch, facts.registers, facts.threads)


def bytes_in_flight(facts: Facts) -> int:
    """Return the bytes that all resident threads of a multiprocessor load before they wait."""
    return warps(facts) * WARP * facts.main.in_flight if facts.main else 0


def _times(main: Main, gpu: Gpu) -> dict[str, float]:
    """Return the nanoseconds per element of each unit of the GPU."""
    lanes = ARCH[gpu.arch].lanes
    operations = {"issue": main.total_instructions, **main.pipes}
    return {
        part: count / (lanes[part] * gpu.multiprocessors * gpu.clock)
        for part, count in operations.items()
    }
