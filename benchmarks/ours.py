"""gpuopt's own contenders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gpuopt import BackendError, use_backend

from .arena import Arena
from .cases import Case
from .contender import Maker, Step, Unavailable
from .peers import import_torch


def _step(backend: str, wrap: Callable[[Any], Any], case: Case, arena: Arena) -> Step:
    around = partial(use_backend, backend)
    try:
        with around():
            optimizer = case.optimizer([wrap(p) for p in arena.params], **case.options)
    except BackendError as error:
        raise Unavailable(str(error)) from None
    # Not load_state_dict, which copies: all contenders update the same memory.
    optimizer._fused.load([0] * len(arena.params), arena.states)
    grads = [wrap(g) for g in arena.grads]
    return Step(lambda: optimizer.step(grads), around)


def _numba_on_torch(case: Case, arena: Arena) -> Step:
    return _step("numba", import_torch().from_numpy, case, arena)


OURS: dict[str, Maker] = {
    "numba": partial(_step, "numba", lambda array: array),
    "numba, torch tensors": _numba_on_torch,
    "numpy": partial(_step, "numpy", lambda array: array),
}
"""gpuopt's contenders by name: the backend, and whose arrays it gets if not NumPy's."""
