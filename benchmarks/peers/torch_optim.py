"""torch.optim in each of its implementations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..buffers import SharedBuffers, as_torch, import_torch, state_dtype
from ..cases import Case
from ..contender import Contender
from ..step import Step, Unavailable

FORMS = {
    "torch fused": {"fused": True},
    "torch foreach": {"foreach": True},
    "torch for-loop": {"foreach": False},
}
"""torch's implementations, and the options that select them."""

COMPILED = "torch compile"


def parameters(buffers: SharedBuffers) -> list[Any]:
    """Return torch parameters, with gradients, over the shared buffers."""
    torch = import_torch()
    params = [torch.nn.Parameter(as_torch(p)) for p in buffers.params]
    for param, grad in zip(params, buffers.grads):
        param.grad = as_torch(grad)
    return params


def _optimizer(form: Mapping[str, bool], case: Case, buffers: SharedBuffers) -> Any:
    torch = import_torch()
    kind = getattr(torch.optim, case.torch)
    missing = set(form) - set(inspect.signature(kind).parameters)
    if missing:
        raise Unavailable(f"torch.optim.{case.torch} has no {', '.join(missing)}")
    params = parameters(buffers)
    optimizer = kind(params, **case.torch_options, **form)
    # The registry's state names are torch's. torch itself allocates states of another dtype.
    if case.optimizer is not None and state_dtype(buffers.dtype) == buffers.dtype:
        for param, states in zip(params, buffers.states):
            if states:
                shared = {name: as_torch(state) for name, state in states.items()}
                on_device = {"device": buffers.device} if form.get("fused") else {}
                optimizer.state[param] = {"step": torch.zeros((), **on_device), **shared}
    return optimizer


def _step(form: Mapping[str, bool], case: Case, buffers: SharedBuffers) -> Step:
    return Step(_optimizer(form, case, buffers).step)


def _compiled(case: Case, buffers: SharedBuffers) -> Step:
    optimizer = _optimizer({"foreach": True}, case, buffers)
    torch = import_torch()
    torch.compiler.reset()  # otherwise it stops recompiling after eight optimizers
    run: Callable[[], object] = torch.compile(lambda: optimizer.step())
    return Step(run)


TORCH_FORMS: dict[str, Contender] = {
    **{name: partial(_step, form) for name, form in FORMS.items()},
    COMPILED: _compiled,
}
