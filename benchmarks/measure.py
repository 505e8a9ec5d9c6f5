"""Measure one rule on one model: check the contenders, then their time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuopt.kernels.storage import STORAGE

from .buffers import SharedBuffers, state_dtype
from .cases import Case
from .check import first_step, same_formula
from .contender import Contender
from .copyloop import copy_loop
from .lines import Group, Line, Place
from .memory import extra_bytes
from .models import Shapes, elements
from .ours import OURS, reference
from .peers import ROUGH
from .step import Step, Unavailable
from .timing import Clock, HostClock, Timing, cache_bytes, interleaved

COPY = "copy"


def bytes_of(case: Case, dtype: str, shapes: Shapes) -> int:
    """Return the bytes that a step must move: it reads all lists and writes all but gradients."""
    size, state = STORAGE[dtype].itemsize, STORAGE[state_dtype(dtype)].itemsize
    return case.rule.bytes_per_element(size, size, state) * elements(shapes)


def attempt(make: Any) -> tuple[Any, str | None]:
    """Return the result of a call and None, or None and the reason why it failed.

    A contender that fails must not stop the others.
    """
    try:
        return make(), None
    except Unavailable as error:
        return None, str(error)
    except Exception as error:
        return None, failure_text(error)


def failure_text(error: Exception) -> str:
    """Return the first line of an error, as the reason why a contender is left out."""
    return f"failed: {type(error).__name__}: {error}".partition("\n")[0]


def measure(
    place: Place,
    case: Case,
    shapes: Shapes,
    contenders: Mapping[str, Contender],
    rounds: int,
    cold: bool = True,
) -> Group:
    """Check all contenders, then measure the memory and the time of those that are correct.

    Args:
        place: what is measured.
        case: the rule.
        shapes: the tensors of the model.
        contenders: the contenders by name, gpuopt's first.
        rounds: samples per contender.
        cold: flush the caches before each step, unless the tensors are at least four times as
            large: then a step evicts its own first data.
    """
    dtype, device = place.dtype, place.device
    made, error = attempt(lambda: _start(case, shapes, dtype, device, cold))
    if error:  # out of memory, mostly
        return Group(place, [], dict.fromkeys(contenders, error))
    buffers, clock = made
    steps: dict[str, Step] = {}
    left_out: dict[str, str] = {}
    warm_ups: dict[str, float] = {}
    extra: dict[str, int | None] = {}

    def prepare(name: str, contender: Contender) -> str | None:
        first = first_step(case, contender, dtype, device, clock)
        problem = same_formula(case, contender, reference(case), dtype, device, name in ROUGH)
        if problem is None:
            step = contender(case, buffers)
            warm_ups[name] = first + clock.first(step)
            extra[name] = extra_bytes(step) if device == "cpu" else None
            steps[name] = step
        return problem

    for name, contender in contenders.items():
        problem, error = attempt(lambda name=name, contender=contender: prepare(name, contender))
        if problem or error:
            left_out[name] = problem or error
    copy, error = attempt(lambda: copy_loop(case, buffers))
    if error:
        left_out[COPY] = error
    failed: dict[str, Exception] = {}
    timings = interleaved({**({COPY: copy} if copy else {}), **steps}, rounds, clock, failed)
    left_out.update({name: failure_text(error) for name, error in failed.items()})
    steps = {name: step for name, step in steps.items() if name in timings}
    counts = {name: _launches(step) for name, step in steps.items()} if device == "cuda" else {}
    total = bytes_of(case, dtype, shapes)
    lines = [
        Line(
            place,
            name,
            ours=name in OURS[device],
            tensors=len(shapes),
            elements=elements(shapes),
            bytes=total,
            gigabytes_per_second=total / timing.median / 1e9,
            of_copy=timing.ratio(timings[COPY]) if COPY in timings else None,
            extra_bytes=extra.get(name),
            launches=counts.get(name),
            **timed(name, timings, warm_ups.get(name), set(OURS[device])),
        )
        for name, timing in timings.items()
    ]
    notes = [f"{name} rounds 1 - beta**step to float32" for name in steps if name in ROUGH]
    notes = [*([case.note] if case.note else []), *notes, *waiting(timings)]
    return Group(place, lines, left_out, notes)


def _start(
    case: Case, shapes: Shapes, dtype: str, device: str, cold: bool
) -> tuple[SharedBuffers, Clock]:
    buffers = SharedBuffers(shapes, case.rule.states, dtype, device)
    return buffers, clock_of(device, cold and buffers.bytes < 4 * cache_bytes())


def timed(
    name: str, timings: Mapping[str, Timing], warm_up: float | None, ours: set[str]
) -> dict[str, Any]:
    """Return the figures of a line that depend on the times of all contenders."""
    timing = timings[name]
    low, first, third = timing.spread
    peers = [peer for peer in timings if peer not in ours and peer not in (name, COPY)]
    return {
        "seconds": {
            "median": timing.median,
            "min": low,
            "quartiles": [first, third],
            "samples": list(timing.samples),
            "steps_per_sample": timing.repeats,
        },
        "warm_up_seconds": warm_up or timing.warm_up,
        "times_as_fast_as": {peer: timing.ratio(timings[peer]) for peer in peers},
        "host_seconds": timing.median_host,
        "waits": timing.waits,
    }


def waiting(timings: Mapping[str, Timing]) -> list[str]:
    """Return a note on the contenders whose device times include waits for the host."""
    names = ", ".join(name for name, timing in timings.items() if timing.waits)
    return [f"the device waits for the host during a step of {names}"] if names else []


def clock_of(device: str, cold: bool, processor: bool = False) -> Clock:
    """Return the clock for a device; for the CPU, it may measure CPU time."""
    if device == "cpu":
        return HostClock(cold, processor)
    from .cuda import DeviceClock

    return DeviceClock()


def _launches(step: Step) -> int | None:
    from .cuda import launches

    counted: int | None = attempt(lambda: launches(step))[0]
    return counted
