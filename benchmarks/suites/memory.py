"""Peak memory of gradients, with the step after and inside the backward pass, and of states.

Gradients are measured whenever one is complete, in batches of one and of several backward passes.
States are those of Adam over NumPy arrays of each model's shapes, for each storage: the memory
kept, and the peak that a step, ``state_dict`` and ``load_state_dict`` allocate in addition. For a
large model, the memory kept is computed, and a sample of its tensors is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from ..buffers import import_torch
from ..lines import Group, Line, Place
from ..measure import attempt
from ..models import Shapes
from ..state_memory import STORAGES, kept, peaks, sampled
from . import Settings

LAYERS, WIDTH, MICRO = 16, 1024, 4
AFTER, INSIDE = "step after backward", "step inside backward"
EXACT, MOMENTS = (f"{INSIDE}, {MICRO} a batch, {kind}" for kind in ("exact", "moments"))
INSIDE_OPTIONS = {
    INSIDE: {},
    EXACT: {"accumulation_steps": MICRO},
    MOMENTS: {"accumulation_steps": MICRO, "accumulation": "moments"},
}


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group whose extra bytes are the peak of the gradients, and those of the states."""
    yield from _of_gradients(settings)
    for name, shapes in settings.models.items():
        some = sampled(shapes)
        if some != shapes:
            yield _computed(name, shapes)
        yield _of_states(name if some == shapes else f"{name}, sampled", some)


def _computed(model: str, shapes: Shapes) -> Group:
    place, size = Place("memory", "adam", "float32", model, "cpu"), sum(map(prod, shapes))
    lines = [
        Line(place, f"{each}: kept", True, len(shapes), size, extra_bytes=kept(shapes, each))
        for each in STORAGES
    ]
    return Group(place, lines, {}, ["the extra bytes are those of states, from the tensors' sizes"])


def _of_states(model: str, shapes: Shapes) -> Group:
    place, size = Place("memory", "adam", "float32", model, "cpu"), sum(map(prod, shapes))
    lines, failed = [], {}
    for storage in STORAGES:
        found, error = attempt(lambda storage=storage: peaks(shapes, storage))
        if error:
            failed[storage] = error
            continue
        lines += [
            Line(place, f"{storage}: {what}", True, len(shapes), size, extra_bytes=count)
            for what, count in found.items()
        ]
    return Group(place, lines, failed, [f"the extra bytes are those of states of {size} elements"])


def _of_gradients(settings: Settings) -> Iterator[Group]:
    place = Place(
        "memory", "adamw", "float32", f"{LAYERS} layers of {WIDTH}x{WIDTH}", settings.device
    )
    found, error = attempt(lambda: largest_gradients(LAYERS, WIDTH, settings.device))
    if error:
        yield Group(place, [], {INSIDE: error})
        return
    size = LAYERS * (WIDTH * WIDTH + WIDTH)
    lines = [
        Line(place, name, name != AFTER, 2 * LAYERS, size, extra_bytes=count)
        for name, count in found.items()
    ]
    yield Group(place, lines, {}, ["the extra bytes are those of the gradients"])


def largest_gradients(layers: int, width: int, device: str = "cpu") -> dict[str, int]:
    """Return the peak bytes of gradients, with the step after the backward pass and inside it."""
    torch = import_torch()
    import gpuopt.torch as ours

    given = {AFTER: None, **INSIDE_OPTIONS}
    return {
        name: _most(torch, ours, options, layers, width, device) for name, options in given.items()
    }


def _most(
    torch: Any, ours: Any, inside: dict[str, Any] | None, layers: int, width: int, device: str
) -> int:
    modules = (torch.nn.Linear(width, width, device=device) for _ in range(layers))
    model = torch.nn.Sequential(*modules)
    params = list(model.parameters())
    most = 0

    def look(param: Any) -> None:
        nonlocal most
        most = max(most, sum(p.grad.nbytes for p in params if p.grad is not None))

    for param in params:
        param.register_post_accumulate_grad_hook(look)
    optimizer = (
        ours.AdamW(params) if inside is None else ours.StepInBackward(params, ours.AdamW, **inside)
    )
    for _ in range(2 * MICRO):
        model(torch.ones(4, width, device=device)).sum().backward()
        if inside is None:
            optimizer.step()
            optimizer.zero_grad()
    return most
