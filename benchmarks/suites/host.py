"""The host cost of a step: increasing numbers of tensors of 64 elements each.

Whole steps come first. Then, on the CPU, steps on the GPU path without launches: `gpuopt.Adam` and
`gpuopt.torch.Adam` on Triton with their kernel launches stubbed out, and
`torch.optim.Adam(fused=True)` with ``torch._fused_adam_`` stubbed out. ``again`` reuses the
gradients of the last step; ``new`` gets new tensor objects each time, as after
``zero_grad(set_to_none=True)``. None includes the launches themselves (a few microseconds each).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import gpuopt
import gpuopt.torch
from gpuopt.engine import dispatch

from ..buffers import import_torch
from ..cases import CASES
from ..lines import Group, Line, Place
from ..measure import attempt, measure, timed
from ..ours import OURS
from ..peers import PEERS
from ..step import Step
from ..timing import interleaved
from . import Settings

ELEMENTS = 64
"""Elements of each tensor."""

AGAIN, NEW, OBJECTS = "triton, again", "triton, new", "(new objects)"
DROP_IN, DROP_IN_NEW = "drop-in, again", "drop-in, new"
OWN = (AGAIN, NEW, DROP_IN, DROP_IN_NEW)
SLOW = ("torch compile",)
"""Peers left out here, since they recompile for each number of tensors."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield two groups for each number of tensors."""
    device = settings.device
    peers = {name: PEERS[device][name] for name in settings.peers if name not in SLOW}
    for count in settings.tensors:
        for rule in settings.rules:
            place = Place("host", rule, "float32", f"{count} tensors", device)
            shapes = ((ELEMENTS,),) * count
            contenders = {**OURS[device], **peers}
            yield measure(place, CASES[rule], shapes, contenders, settings.rounds, cold=False)
        if device == "cpu" and "adam" in settings.rules:
            yield _nothing_launched(count, settings.rounds)


# --- without launches -----------------------------------------------------------------------------


class NoLaunch:
    """A kernel that does nothing."""

    params = ()

    def warmup(self, *args: Any, **kwargs: Any) -> NoLaunch:
        """Compile nothing."""
        return self

    def __getitem__(self, grid: object) -> Callable[..., None]:
        """Return a launcher that does nothing."""
        return lambda *args, **kwargs: None


@contextmanager
def without_launches() -> Iterator[None]:
    """Make the Triton path accept CPU tensors, and stub out its launches."""
    from gpuopt.kernels.triton import launch as triton_cuda

    stubs: dict[str, Any] = {"SIMULATED_ON": ("cpu",)}
    stubs |= {"multi_tensor_update": NoLaunch(), "multi_tensor_coefficients": NoLaunch()}
    usable = mock.patch.object(dispatch, "_problem", lambda *backend: None)
    with mock.patch.multiple(triton_cuda, **stubs), usable, gpuopt.use_backend("triton"):
        yield


def contenders(count: int) -> dict[str, Step]:
    """Return the steps over ``count`` tensors, with stubs as their context."""
    torch = import_torch()
    params = [torch.zeros(ELEMENTS) for _ in range(count)]
    grads = [torch.ones(ELEMENTS) for _ in range(count)]
    ours, drop_in = gpuopt.Adam(params), gpuopt.torch.Adam(params)
    theirs = torch.optim.Adam(params, fused=True)

    def set_new() -> None:
        for param, grad in zip(params, grads):
            param.grad = grad.detach()

    def new_step() -> None:
        set_new()
        drop_in.step()

    set_new()
    with without_launches():
        ours.step(grads)
        drop_in.step()
    theirs.step()
    return {
        AGAIN: Step(lambda: ours.step(grads), without_launches),
        NEW: Step(lambda: ours.step([g.detach() for g in grads]), without_launches),
        DROP_IN: Step(drop_in.step, without_launches),
        DROP_IN_NEW: Step(new_step, without_launches),
        OBJECTS: Step(set_new),
        "torch fused": Step(
            theirs.step, lambda: mock.patch.object(torch, "_fused_adam_", lambda *a, **k: None)
        ),
    }


def _nothing_launched(count: int, rounds: int) -> Group:
    place = Place("host", "adam", "float32", f"{count} tensors, nothing launched", "cpu")
    timings, error = attempt(lambda: interleaved(contenders(count), rounds))
    if error:
        return Group(place, [], dict.fromkeys(OWN, error))
    lines = [
        Line(
            place,
            name,
            ours=name in OWN,
            tensors=count,
            elements=ELEMENTS * count,
            **timed(name, timings, None, {*OWN, OBJECTS}),
        )
        for name in timings
    ]
    note = f"those with new gradients include {OBJECTS}, which no step makes"
    return Group(place, lines, {}, [note])
