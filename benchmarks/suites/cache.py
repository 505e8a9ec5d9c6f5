"""The time per element of AdamW on one core, with all data in its cache: only the arithmetic.

Walks over `SHORT` and `LONG` elements are timed alternately, each many times over the same memory,
which fits into the L2 cache of most processors. The overhead of a call is the same for both, so an
element's time is the difference of the two times divided by the difference of the sizes. Results
are medians over the rounds, in CPU time, which other processes do not affect. gpuopt's walks are
those of an optimizer after its first step, without host overhead; torch's and the copy loop's are
whole calls, whose host overhead cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..buffers import new_params
from ..contest import COPY_BYTES, Make, bytes_of, copy_of
from ..lines import Group, Line, Place
from ..measure import COPY, attempt, timed
from ..models import Shapes
from ..peers.torch_calls import TorchTail
from ..step import Step
from ..timing import HostClock, Timing, interleaved, threads
from . import Settings
from .storage import LR, STORAGES, TORCHS, torch_step

SHORT, LONG = 1 << 13, 1 << 15
"""Elements: at 16 bytes each, 128 KiB and 512 KiB."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each dtype."""
    for dtype in settings.dtypes:
        place = Place("cache", "adamw", dtype, f"{LONG} elements, {code()}", settings.device)
        if dtype not in STORAGES:
            yield Group(place, [], {TORCHS: f"measured only in {' and '.join(STORAGES)}"})
        elif settings.device != "cpu":
            yield Group(place, [], {TORCHS: "measured only on the CPU"})
        else:
            yield _group(place, settings.rounds)


def code() -> str:
    """Return the processor for which the walks are compiled, and its widest vectors."""
    try:
        from gpuopt.kernels.llvm.object_files import processor
    except ImportError as error:
        return f"not compiled: {error}"
    name, features = processor()
    found = [wide for wide in ("avx512f", "avx2") if f"+{wide}" in features.split(",")]
    return f"code for {name}, {found[0] if found else 'its own features'}"


def _group(place: Place, rounds: int) -> Group:
    own = STORAGES[place.dtype]
    makes: dict[str, Make] = {COPY: copy_of}
    makes |= {name: partial(walk, options) for name, options in own.items()}
    makes[TORCHS] = torch_step
    left_out: dict[str, str] = {}
    pairs: dict[str, list[Step]] = {}
    with threads(1):
        for name, make in makes.items():
            pair, error = attempt(lambda make=make: [make(place, ((n,),)) for n in (SHORT, LONG)])
            if error:
                left_out[name] = error
            else:
                pairs[name] = pair
        short = {_short(name): pair[0] for name, pair in pairs.items()}
        long = {name: pair[1] for name, pair in pairs.items()}
        timings = interleaved({**short, **long}, rounds, HostClock(processor=True))
    times = {name: an_element(timings[_short(name)], timings[name]) for name in pairs}
    lost = [name for name, time in times.items() if not time > 0.0]
    left_out |= dict.fromkeys(lost, "lost in the noise: no difference between the two sizes")
    times = {name: time for name, time in times.items() if name not in lost}
    costs = {name: bytes_of("adamw", place.dtype, options) for name, options in own.items()}
    costs |= {COPY: COPY_BYTES, TORCHS: TorchTail().bytes(place.dtype)}
    lines = [_line(place, name, timings, times, costs) for name in times]
    return Group(place, lines, left_out, [f"processor time; arrays of {SHORT} and {LONG} elements"])


def _short(name: str) -> str:
    return f"{name}, short"


def an_element(short: Timing, long: Timing) -> float:
    """Return the seconds per element, from the times for both sizes.

    >>> call, element = 5e-6, 2.0**-32
    >>> times = [Timing((call + size * element,), 1, 0.0) for size in (SHORT, LONG)]
    >>> round(an_element(*times) / element, 6)
    1.0
    """
    differences = np.subtract(long.samples, short.samples)
    return float(np.median(differences)) / (LONG - SHORT)


def walk(options: Mapping[str, Any], place: Place, shapes: Shapes) -> Step:
    """Return the walk of gpuopt's AdamW over its table, with the numbers of its first step."""
    import gpuopt

    params = new_params(shapes, place.dtype, place.device)
    grads = [param.grad for param in params]
    opt = gpuopt.AdamW([param.detach() for param in params], lr=LR, **options)
    opt.step(grads)  # makes the tables

    def run() -> None:
        for launch in opt._fused._launches:  # tables only have addresses: keep the optimizer alive
            launch.run(grads)

    return Step(run)


def _line(
    place: Place,
    name: str,
    timings: Mapping[str, Timing],
    times: Mapping[str, float],
    costs: Mapping[str, float],
) -> Line:
    ours, rate = name in STORAGES[place.dtype], costs[name] / times[name]
    line = Line(
        place,
        name,
        ours=ours,
        tensors=1,
        elements=LONG,
        bytes=round(costs[name] * LONG),
        seconds_an_element=times[name],
        gigabytes_per_second=rate / 1e9,
        of_copy=rate * times[COPY] / costs[COPY] if COPY in times else None,
        **timed(name, timings, None, set()),
    )
    peers = {TORCHS: times[TORCHS] / times[name]} if ours and TORCHS in times else {}
    return replace(line, times_as_fast_as=peers)
