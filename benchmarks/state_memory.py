"""Memory of the states for each storage: kept, and at the peak of a step, save and load."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .models import Shapes

STORAGES = ("float32", "float16", "8bit")
OPERATIONS = ("kept", "step", "state_dict", "load", "step after load")

LIMIT = 1 << 27
"""The maximum number of measured elements; larger models are sampled at equal distances."""

SMALLEST, BLOCK = 4096, 32
"""The minimum elements of a tensor for 8-bit states, and the elements that share a scale."""


def sampled(shapes: Shapes, limit: int = LIMIT) -> Shapes:
    """Return tensors of a model that have at most ``limit`` elements together, or all.

    A sample leaves out the first tensor, which may be an embedding larger than the limit.

    >>> sampled(((16,), *((4, 4),) * 7), 70)
    ((4, 4), (4, 4), (4, 4), (4, 4))
    >>> sampled(((800,), *((4, 4),) * 7), 70)
    ((4, 4), (4, 4), (4, 4), (4, 4))
    """
    for step in range(1, len(shapes) + 1):
        some = shapes[step - 1 :: step]
        if sum(map(prod, some)) <= limit:
            return some
    raise ValueError(f"expected a tensor of at most {limit} elements, got none")


def kept(shapes: Shapes, storage: str) -> int:
    """Return the bytes of Adam's two states for tensors of these shapes.

    >>> kept(((64, 64),), "float32"), kept(((64, 64),), "8bit"), kept(((64,),), "8bit")
    (32768, 9216, 512)
    """
    return 2 * sum(_of_state(prod(shape), storage) for shape in shapes)


def _of_state(size: int, storage: str) -> int:
    if storage == "8bit" and size >= SMALLEST:
        return size + 4 * -(-size // BLOCK)
    return size * {"float32": 4, "float16": 2, "8bit": 4}[storage]


def peaks(shapes: Shapes, storage: str) -> dict[str, int]:
    """Return the bytes of Adam's states, and the peak that each operation allocates in addition."""
    import gpuopt

    params = [np.ones(shape, np.float32) for shape in shapes]
    grads = [np.full(shape, 0.5, np.float32) for shape in shapes]
    opt = gpuopt.Adam(params, state_dtype=storage)
    opt.step(grads)  # allocates the states and compiles
    held = [array for own in opt.state.values() for array in own.values()]
    found = {"kept": sum(getattr(array, "nbytes", 0) for array in held)}
    del held
    kept: dict[str, Any] = {}
    todo: dict[str, Callable[[], Any]] = {
        "step": lambda: opt.step(grads),
        "state_dict": lambda: kept.update(opt.state_dict()),
        "load": lambda: opt.load_state_dict(kept),
        "step after load": lambda: opt.step(grads),
    }
    tracemalloc.start()  # NumPy reports what it allocates
    try:
        for name, run in todo.items():
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            run()
            found[name] = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return found
