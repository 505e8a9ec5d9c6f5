"""What gpuopt is compared with: torch.optim, and NumPy as textbooks write it."""

from __future__ import annotations

import importlib
import inspect
from functools import partial
from itertools import count
from typing import Any

from .arena import Arena
from .cases import Case
from .contender import Maker, Step, Unavailable


def import_torch() -> Any:
    """Return torch."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise Unavailable("torch is not installed") from None


def lacks(kind: type, form: dict[str, bool]) -> set[str]:
    """Return the options of a form that an optimizer of torch's does not have."""
    return set(form) - set(inspect.signature(kind).parameters)


def _torch(form: dict[str, bool], case: Case, arena: Arena) -> Step:
    torch = import_torch()
    kind = getattr(torch.optim, case.torch)
    missing = lacks(kind, form)
    if missing:
        raise Unavailable(f"torch.optim.{case.torch} has no {', '.join(missing)}")
    params = [torch.nn.Parameter(torch.from_numpy(p)) for p in arena.params]
    optimizer = kind(params, **case.torch_options, **form)
    for param, grad, states in zip(params, arena.grads, arena.states):
        param.grad = torch.from_numpy(grad)
        if states:  # torch's names are the registry's
            shared = {name: torch.from_numpy(state) for name, state in states.items()}
            optimizer.state[param] = {"step": torch.zeros(()), **shared}
    return Step(optimizer.step)


def _textbook(case: Case, arena: Arena) -> Step:
    options = {k: v for k, v in case.options.items() if not isinstance(v, bool)}
    # Copies, since the textbook replaces its states: their memory is not extra, all have it.
    states = [[state.copy() for state in of_tensor.values()] for of_tensor in arena.states]
    steps = count(1)

    def run() -> None:
        step = next(steps)
        for p, g, s in zip(arena.params, arena.grads, states):
            case.textbook(p, g, s, step, **options)

    return Step(run)


FORMS = {
    "torch fused": {"fused": True},
    "torch foreach": {"foreach": True},
    "torch for-loop": {"foreach": False},
}
"""The forms that torch's optimizers have, and the options that pick them."""

PEERS: dict[str, Maker] = {
    **{name: partial(_torch, form) for name, form in FORMS.items()},
    "textbook NumPy": _textbook,
}
"""The peers by name."""
