"""The tail of a training step: clipping, Adam, an EMA, and master weights for bfloat16.

The torch version uses its fastest calls: `clip_grad_norm_` with ``foreach=True``, Adam with
``fused=True``, `torch._foreach_lerp_` for the EMA; for bfloat16, float32 master weights that
`torch._foreach_copy_` converts. Both start from the same values and are compared before they are
timed. Bytes are counted from the tables and from torch's calls. On a device a copy of as many bytes
as gpuopt moves is timed beside them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

from gpuopt.engine.compose import within
from gpuopt.engine.measure import MEASURE
from gpuopt.engine.tail import tail_of
from gpuopt.rules.registry import RULES

from ..buffers import import_torch
from ..lines import Group, Line, Place
from ..measure import COPY, attempt, clock_of, timed, waiting
from ..models import Shapes, elements
from ..step import Step
from ..timing import interleaved
from . import Settings

OURS, TORCHS = "gpuopt, drop-in", "torch calls"
LR, DECAY, LARGEST = 1e-3, 0.999, 1.0

TOLERANCE = 1e-5
"""Between both after a step in float32, since they round in different orders."""

TORCH_BYTES = {"float32": (4, 8, 28, 12), "bfloat16": (6, 4, 8, 28, 12, 6)}
"""Bytes per element of torch: [gradients to float32,] norm, clipping, Adam, EMA[, to bfloat16]."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each dtype and each model."""
    for dtype in settings.dtypes:
        for model, shapes in settings.models.items():
            place = Place("tail", "adam", dtype, model, settings.device)
            if dtype not in TORCH_BYTES:
                why = f"measured only in {' and '.join(TORCH_BYTES)}"
                yield Group(place, [], dict.fromkeys((OURS, TORCHS), why))
                continue
            timings, error = attempt(lambda p=place, s=shapes: _timings(p, s, settings))
            gc.collect()
            if error:
                yield Group(place, [], {OURS: error, TORCHS: error})
                continue
            costs = {OURS: bytes_of_ours(dtype), TORCHS: sum(TORCH_BYTES[dtype])}
            costs[COPY] = costs[OURS]
            lines = [
                Line(
                    place,
                    name,
                    ours=name == OURS,
                    tensors=len(shapes),
                    elements=elements(shapes),
                    bytes=costs[name] * elements(shapes),
                    gigabytes_per_second=costs[name] * elements(shapes) / timing.median / 1e9,
                    of_copy=timing.ratio(timings[COPY]) * costs[name] / costs[COPY]
                    if COPY in timings
                    else None,
                    **timed(name, timings, None, {OURS}),
                )
                for name, timing in timings.items()
            ]
            note = f"bytes an element: gpuopt {costs[OURS]}, torch {costs[TORCHS]}"
            yield Group(place, lines, {}, [note, *waiting(timings)])


def _timings(place: Place, shapes: Shapes, settings: Settings) -> Any:
    check(((1000,), (33, 7), ()), place.dtype, place.device)
    pair = {
        OURS: DropIn(shapes, place.dtype, place.device),
        TORCHS: TorchCalls(shapes, place.dtype, place.device),
    }
    steps = {name: Step(each.step) for name, each in pair.items()}
    if place.device == "cuda":
        from ..cuda import copy_step

        moved = bytes_of_ours(place.dtype) * elements(shapes)
        steps = {COPY: copy_step(moved, place.device), **steps}
    return interleaved(steps, settings.rounds, clock_of(place.device, cold=False))


def bytes_of_ours(dtype: str) -> int:
    """Return gpuopt's bytes per element: one read of the gradients, and the update.

    >>> bytes_of_ours("float32"), sum(TORCH_BYTES["float32"])
    (40.0, 52)
    """
    tail = tail_of(clip_norm=LARGEST, ema_decay=DECAY, master_weights=dtype == "bfloat16")
    update = within(RULES["adam"], tail).for_params(dtype)
    size = 4 if dtype == "float32" else 2
    assert MEASURE.read == (1,)
    return size + update.bytes_per_element([dtype, dtype, *["float32"] * len(update.states)])


class DropIn:
    """gpuopt: one optimizer whose step does all of it."""

    def __init__(
        self, shapes: Shapes, dtype: str, device: str, lr: float = LR, decay: float = DECAY
    ) -> None:
        """Create the parameters, their gradients and the optimizer."""
        import gpuopt.torch

        self.params = new_params(shapes, dtype, device)
        options = {"clip_norm": LARGEST, "ema_decay": decay, "master_weights": dtype == "bfloat16"}
        self.optimizer = gpuopt.torch.Adam(self.params, lr, **options)

    def step(self) -> None:
        """Clip, update, average."""
        self.optimizer.step()

    def averages(self) -> list[Any]:
        """Return the averaged weights."""
        return [self.optimizer.ema[param] for param in self.params]


class TorchCalls:
    """torch: separate calls."""

    def __init__(
        self, shapes: Shapes, dtype: str, device: str, lr: float = LR, decay: float = DECAY
    ) -> None:
        """Create the parameters, their gradients and the optimizer."""
        self._torch = torch = import_torch()
        self._decay = decay
        self.params = self._masters = new_params(shapes, dtype, device)
        self._narrow = dtype == "bfloat16"
        if self._narrow:
            self._masters = [torch.nn.Parameter(p.detach().float()) for p in self.params]
            for master in self._masters:
                master.grad = torch.empty_like(master)
        self._emas = [m.detach().clone() for m in self._masters]
        self._optimizer = torch.optim.Adam(self._masters, lr, fused=True)

    def step(self) -> None:
        """Clip, update, average."""
        torch = self._torch
        with torch.no_grad():
            if self._narrow:
                wide = [m.grad for m in self._masters]
                torch._foreach_copy_(wide, [p.grad for p in self.params])
            torch.nn.utils.clip_grad_norm_(self._masters, LARGEST, foreach=True)
            self._optimizer.step()
            torch._foreach_lerp_(self._emas, self._masters, 1.0 - self._decay)
            if self._narrow:
                torch._foreach_copy_(self.params, self._masters)

    def averages(self) -> list[Any]:
        """Return the averaged weights."""
        return self._emas


def new_params(shapes: Shapes, dtype: str, device: str) -> list[Any]:
    """Return parameters with gradients; equal arguments give equal values.

    The norm of the gradients is below the limit, so that the factor is 1: torch's clipping scales
    them in place, and at each step they would shrink, in the end to slow denormals.
    """
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    norm = elements(shapes) ** 0.5
    params = []
    for shape in shapes:
        kind = {"dtype": getattr(torch, dtype), "device": device}
        param = torch.nn.Parameter(torch.randn(shape, generator=generator).to(**kind))
        param.grad = (torch.randn(shape, generator=generator) * (0.5 / norm)).to(**kind)
        params.append(param)
    return params


def check(shapes: Shapes, dtype: str, device: str) -> None:
    """Raise RuntimeError unless both have equal averages after three steps.

    The magnitude of the gradients differs between steps, and some exceed the limit: with a constant
    magnitude, Adam's result would not depend on clipping. The learning rate and the weight of the
    average are large.
    """
    torch = import_torch()
    pair = DropIn(shapes, dtype, device, 0.1, 0.5), TorchCalls(shapes, dtype, device, 0.1, 0.5)
    for each in pair:
        given = [param.grad.clone() for param in each.params]
        for size in (1.0, 64.0, 16.0):
            for param, grad in zip(each.params, given):
                param.grad = size * grad
            each.step()
    for mine, other in zip(*(each.averages() for each in pair)):
        if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE):
            raise RuntimeError(f"{dtype}: gpuopt and torch do not compute the same")
