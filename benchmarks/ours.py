"""gpuopt's own contenders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gpuopt import BackendError, use_backend

from .buffers import SharedBuffers, as_torch, import_torch
from .cases import Case
from .contender import Contender
from .step import Step, Unavailable


def _as_cupy(tensor: Any) -> Any:
    import cupy

    if tensor.dtype.itemsize == 2 and "bfloat" in str(tensor.dtype):
        raise Unavailable("CuPy has no bfloat16")
    return cupy.from_dlpack(tensor)


def _arrays(backend: str, wrap: Callable[[Any], Any], case: Case, buffers: SharedBuffers) -> Step:
    """Return the step of an optimizer over plain arrays."""
    if case.optimizer is None:
        raise Unavailable(f"{case.torch} is timed as a drop-in only")
    context = partial(use_backend, backend)
    try:
        with context():
            optimizer = case.optimizer([wrap(p) for p in buffers.params], **case.options)
    except BackendError as error:
        raise Unavailable(str(error)) from None
    # load_state_dict would copy, but all contenders must update the same memory.
    states = [{name: wrap(state) for name, state in each.items()} for each in buffers.states]
    optimizer._fused.load([0] * len(buffers.params), states)
    grads = [wrap(g) for g in buffers.grads]
    return Step(lambda: optimizer.step(grads), context)


def _drop_in(backend: str, case: Case, buffers: SharedBuffers) -> Step:
    """Return the step of a drop-in for torch.optim, which allocates its own states."""
    torch = import_torch()
    import gpuopt.torch as drop_ins

    params = [torch.nn.Parameter(as_torch(p)) for p in buffers.params]
    for param, grad in zip(params, buffers.grads):
        param.grad = as_torch(grad)
    context = partial(use_backend, backend)
    try:
        with context():
            optimizer = getattr(drop_ins, case.torch)(params, **case.torch_options)
    except BackendError as error:
        raise Unavailable(str(error)) from None
    return Step(optimizer.step, context)


def _unchanged(array: Any) -> Any:
    return array


OURS: dict[str, dict[str, Contender]] = {
    "cpu": {
        "llvm": partial(_arrays, "llvm", _unchanged),
        "llvm, torch tensors": partial(_arrays, "llvm", as_torch),
        "llvm, drop-in": partial(_drop_in, "llvm"),
        "numpy": partial(_arrays, "numpy", _unchanged),
    },
    "cuda": {
        "triton": partial(_arrays, "triton", _unchanged),
        "triton, drop-in": partial(_drop_in, "triton"),
        "cupy": partial(_arrays, "cupy", _as_cupy),
    },
}
"""gpuopt's contenders by device and name: the backend, and its input if not NumPy arrays."""


def reference(case: Case) -> Contender:
    """Return the contender that others are checked against: the rule itself, run by NumPy."""
    return OURS["cpu"]["numpy"] if case.optimizer else partial(_drop_in, "numpy")
