"""Adam as CuPy users write it: an ElementwiseKernel, and cupy.fuse. Not yet run on a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

from ..buffers import SharedBuffers
from ..cases import Case
from ..contender import Contender
from ..step import Step, Unavailable

_INPUTS = (
    "T g, float32 beta1, float32 rest1, float32 beta2, float32 rest2, "
    "float32 unbias1, float32 unbias2, float32 lr, float32 eps"
)
_OUTPUTS = "T p, T m, T v"
_BODY = """
    m = beta1*m + rest1*g;
    v = beta2*v + rest2*g*g;
    p -= lr*(m*unbias1) / (sqrt(v*unbias2) + eps);
"""

Update = Callable[..., object]


@cache
def _kernel() -> Update:
    update: Update = _cupy().ElementwiseKernel(_INPUTS, _OUTPUTS, _BODY, "adam")
    return update


@cache
def _fused() -> Update:
    cupy = _cupy()

    # CuPy calls it with proxies, which have no public type.
    @cupy.fuse()
    def adam(g, beta1, rest1, beta2, rest2, unbias1, unbias2, lr, eps, p, m, v):  # type: ignore[no-untyped-def]
        m *= beta1
        m += rest1 * g
        v *= beta2
        v += rest2 * g * g
        p -= lr * (m * unbias1) / (cupy.sqrt(v * unbias2) + eps)

    return adam


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError:
        raise Unavailable("CuPy is not installed") from None


def _step(make: Callable[[], Update], case: Case, buffers: SharedBuffers) -> Step:
    cupy = _cupy()
    if case.name != "adam" or buffers.dtype != "float32":
        raise Unavailable(f"no form of {case.name} in {buffers.dtype} here")
    update, steps = make(), count(1)
    (beta1, beta2), lr, eps = (case.options[name] for name in ("betas", "lr", "eps"))
    tensors = [
        [cupy.from_dlpack(array) for array in (grad, param, *states.values())]
        for grad, param, states in zip(buffers.grads, buffers.params, buffers.states)
    ]

    def run() -> None:
        step = next(steps)
        unbias = 1 / (1 - beta1**step), 1 / (1 - beta2**step)
        for g, *written in tensors:
            update(g, beta1, 1 - beta1, beta2, 1 - beta2, *unbias, lr, eps, *written)

    return Step(run)


def _elementwise(case: Case, buffers: SharedBuffers) -> Step:
    return _step(_kernel, case, buffers)


def _fuse(case: Case, buffers: SharedBuffers) -> Step:
    return _step(_fused, case, buffers)


CUPY_FORMS: dict[str, Contender] = {
    "cupy.ElementwiseKernel": _elementwise,
    "cupy.fuse": _fuse,
}
