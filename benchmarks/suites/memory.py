"""Peak memory of gradients: with the step after the backward pass, and inside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..buffers import import_torch
from ..lines import Group, Line, Place
from ..measure import attempt
from . import Settings

LAYERS, WIDTH = 16, 1024
AFTER, INSIDE = "step after backward", "step inside backward"


def run(settings: Settings) -> Iterator[Group]:
    """Yield one group, whose extra bytes are the peak of the gradients."""
    place = Place(
        "memory", "adamw", "float32", f"{LAYERS} layers of {WIDTH}x{WIDTH}", settings.device
    )
    found, error = attempt(lambda: largest_gradients(LAYERS, WIDTH, settings.device))
    if error:
        yield Group(place, [], {INSIDE: error})
        return
    size = LAYERS * (WIDTH * WIDTH + WIDTH)
    lines = [
        Line(place, name, name == INSIDE, 2 * LAYERS, size, extra_bytes=count)
        for name, count in found.items()
    ]
    yield Group(place, lines, {}, ["the extra bytes are those of the gradients"])


def largest_gradients(layers: int, width: int, device: str = "cpu") -> dict[str, int]:
    """Return the peak bytes of gradients, with the step after the backward pass and inside it."""
    torch = import_torch()
    import gpuopt.torch as ours

    held = {AFTER: False, INSIDE: True}
    return {
        name: _most(torch, ours, inside, layers, width, device) for name, inside in held.items()
    }


def _most(torch: Any, ours: Any, inside: bool, layers: int, width: int, device: str) -> int:
    modules = (torch.nn.Linear(width, width, device=device) for _ in range(layers))
    model = torch.nn.Sequential(*modules)
    params = list(model.parameters())
    most = 0

    def look(param: Any) -> None:
        nonlocal most
        most = max(most, sum(p.grad.nbytes for p in params if p.grad is not None))

    for param in params:
        param.register_post_accumulate_grad_hook(look)
    optimizer = ours.StepInBackward(params, ours.AdamW) if inside else ours.AdamW(params)
    for _ in range(2):
        model(torch.ones(4, width, device=device)).sum().backward()
        if not inside:
            optimizer.step()
            optimizer.zero_grad()
    return most
