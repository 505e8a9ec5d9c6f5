"""The memory that states take in each storage: kept, and at the peak of a step, a save, a load."""

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
"""Elements of a model that are measured; of larger models, tensors at equal distances."""


def sampled(shapes: Shapes, limit: int = LIMIT) -> Shapes:
    """Return tensors of a model that have about ``limit`` elements together, or all.

    >>> sampled(((4, 4),) * 8, 70)
    ((4, 4), (4, 4), (4, 4), (4, 4))
    """
    step = -(-sum(map(prod, shapes)) // limit)
    return shapes[::step]


def peaks(shapes: Shapes, storage: str) -> dict[str, int]:
    """Return the bytes of Adam's states, and the most that each operation allocates besides."""
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
