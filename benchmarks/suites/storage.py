"""AdamW by what states and weights are stored in: bytes, and times beside torch's fused step.

float32 parameters have states in float32, bfloat16 or 8 bits. bfloat16 parameters have, besides,
float32 master weights, or what rounding cut off of them in 16 or 8 bits; torch's code for those
converts gradients and weights in calls of its own. The weights of a step in bfloat16 are checked
for being finite alone: tests compare the bits.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any

from gpuopt.engine.compose import within
from gpuopt.engine.tail import tail_of
from gpuopt.rules.registry import RULES

from ..buffers import import_torch
from ..lines import Group, Line, Place
from ..measure import COPY, attempt, clock_of, timed, waiting
from ..models import Shapes, elements
from ..step import Step
from ..timing import Timing, interleaved
from . import Settings
from .tail import new_params

TORCHS = "torch fused"
LR = 1e-4

Options = Mapping[str, Any]

STORAGES: dict[str, dict[str, Options]] = {
    "float32": {
        "float32": {},
        "bfloat16": {"state_dtype": "bfloat16"},
        "8bit": {"state_dtype": "8bit"},
    },
    "bfloat16": {
        "float32 masters": {"master_weights": True},
        "split16": {"master_weights": "split16"},
        "split16, 8bit": {"master_weights": "split16", "state_dtype": "8bit"},
        "split8, 8bit": {"master_weights": "split8", "state_dtype": "8bit"},
    },
}
"""The options of gpuopt's AdamW, by the dtype of the parameters and the contender's name."""

TORCH_BYTES = {"float32": 28, "bfloat16": 6 + 28 + 6}
"""Bytes per element of torch: [gradients to float32,] AdamW[, weights to bfloat16]."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each dtype and each model."""
    for dtype in settings.dtypes:
        for model, shapes in settings.models.items():
            place = Place("storage", "adamw", dtype, model, settings.device)
            if dtype not in STORAGES:
                why = f"measured only in {' and '.join(STORAGES)}"
                yield Group(place, [], {TORCHS: why})
                continue
            timings, error = attempt(lambda p=place, s=shapes: _timings(p, s, settings))
            gc.collect()
            if error:
                yield Group(place, [], {TORCHS: error})
                continue
            yield _group(place, shapes, timings)


def bytes_of(dtype: str, options: Options) -> float:
    """Return the bytes that an element's step moves.

    >>> bytes_of("float32", {}), bytes_of("float32", {"state_dtype": "8bit"})
    (28.0, 16.5)
    >>> bytes_of("bfloat16", {"master_weights": "split8", "state_dtype": "8bit"})
    12.5
    """
    given = dict(options)
    state_dtype = given.pop("state_dtype", None)
    update = within(RULES["adamw"], tail_of(**given)).for_params(dtype)
    stored = update.stored_states(dtype, state_dtype)
    update = update.for_states(stored)
    return update.bytes_per_element([dtype, dtype, *update.dtypes_of_lists(stored)])


def _group(place: Place, shapes: Shapes, timings: Mapping[str, Timing]) -> Group:
    own = STORAGES[place.dtype]
    costs = {name: bytes_of(place.dtype, options) for name, options in own.items()}
    costs |= {TORCHS: TORCH_BYTES[place.dtype], COPY: 28.0}
    count = elements(shapes)
    lines = [
        Line(
            place,
            name,
            ours=name in own,
            tensors=len(shapes),
            elements=count,
            bytes=round(costs[name] * count),
            gigabytes_per_second=costs[name] * count / timing.median / 1e9,
            of_copy=timing.ratio(timings[COPY]) * costs[name] / costs[COPY],
            **timed(name, timings, None, set(own)),
        )
        for name, timing in timings.items()
    ]
    moved = ", ".join(f"{name} {cost:g}" for name, cost in costs.items() if name != COPY)
    return Group(place, lines, {}, [f"bytes an element: {moved}", *waiting(timings)])


def _timings(place: Place, shapes: Shapes, settings: Settings) -> Any:
    import gpuopt.torch

    steps = {COPY: _copy(shapes, place.device)}
    for name, options in STORAGES[place.dtype].items():
        params = new_params(shapes, place.dtype, place.device)
        steps[name] = Step(gpuopt.torch.AdamW(params, LR, **options).step)
    steps[TORCHS] = Step(_torchs(shapes, place.dtype, place.device))
    return interleaved(steps, settings.rounds, clock_of(place.device, settings.cold))


def _copy(shapes: Shapes, device: str) -> Step:
    """Return a step that moves the 28 bytes of an element that a float32 step moves."""
    if device != "cpu":
        from ..cuda import copy_step

        return copy_step(28 * elements(shapes), device)
    from ..copyloop import move_lists

    return move_lists(elements(shapes), 4)


def _torchs(shapes: Shapes, dtype: str, device: str) -> Any:
    """Return torch's step: fused AdamW, for bfloat16 on float32 master weights."""
    torch = import_torch()
    params = masters = new_params(shapes, dtype, device)
    if dtype == "bfloat16":
        masters = [torch.nn.Parameter(p.detach().float()) for p in params]
        for master in masters:
            master.grad = torch.empty_like(master)
    optimizer = torch.optim.AdamW(masters, LR, fused=True)

    def step() -> None:
        if masters is params:
            optimizer.step()
            return
        with torch.no_grad():
            torch._foreach_copy_([m.grad for m in masters], [p.grad for p in params])
            optimizer.step()
            torch._foreach_copy_(params, masters)

    return step
