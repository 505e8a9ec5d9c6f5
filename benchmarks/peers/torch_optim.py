"""torch.optim, in every form that it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..arena import Arena, as_torch, import_torch, state_dtype
from ..cases import Case
from ..contender import Maker, Step, Unavailable

FORMS = {
    "torch fused": {"fused": True},
    "torch foreach": {"foreach": True},
    "torch for-loop": {"foreach": False},
}
"""The forms that torch's optimizers have, and the options that pick them."""

COMPILED = "torch compile"


def parameters(arena: Arena) -> list[Any]:
    """Return torch's parameters over the memory of an arena, with their gradients."""
    torch = import_torch()
    params = [torch.nn.Parameter(as_torch(p)) for p in arena.params]
    for param, grad in zip(params, arena.grads):
        param.grad = as_torch(grad)
    return params


def _optimizer(form: Mapping[str, bool], case: Case, arena: Arena) -> Any:
    torch = import_torch()
    kind = getattr(torch.optim, case.torch)
    missing = set(form) - set(inspect.signature(kind).parameters)
    if missing:
        raise Unavailable(f"torch.optim.{case.torch} has no {', '.join(missing)}")
    params = parameters(arena)
    optimizer = kind(params, **case.torch_options, **form)
    # torch's names are the registry's. States in 16 bits, or with more in them, it makes itself.
    if case.optimizer is not None and state_dtype(arena.dtype) == arena.dtype:
        for param, states in zip(params, arena.states):
            if states:
                shared = {name: as_torch(state) for name, state in states.items()}
                on_device = {"device": arena.device} if form.get("fused") else {}
                optimizer.state[param] = {"step": torch.zeros((), **on_device), **shared}
    return optimizer


def _step(form: Mapping[str, bool], case: Case, arena: Arena) -> Step:
    return Step(_optimizer(form, case, arena).step)


def _compiled(case: Case, arena: Arena) -> Step:
    optimizer = _optimizer({"foreach": True}, case, arena)
    torch = import_torch()
    torch.compiler.reset()  # or it gives up after eight optimizers that are gone
    run: Callable[[], object] = torch.compile(lambda: optimizer.step())
    return Step(run)


TORCH_FORMS: dict[str, Maker] = {
    **{name: partial(_step, form) for name, form in FORMS.items()},
    COMPILED: _compiled,
}
