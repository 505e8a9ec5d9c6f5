"""The memory that all contenders share, so that each finds the caches as the others do."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from .models import Shape

ALIGNMENT = 16
"""Elements: each tensor begins at a multiple of 64 bytes, as torch allocates them."""

Floats = npt.NDArray[np.float32]


class Arena:
    """Parameters, gradients and states in float32, each list in one piece of memory.

    Attributes:
        flat: by list ("params", "grads", the states), its memory with all tensors in order.
        params: the tensors, views of that memory.
        grads: as params.
        states: by tensor, its states by name.
    """

    def __init__(self, shapes: Sequence[Shape], states: Sequence[str], seed: int = 0) -> None:
        """Fill parameters and gradients with noise of usual size, states with zeros."""
        sizes = [-(-prod(shape) // ALIGNMENT) * ALIGNMENT for shape in shapes]
        self._shapes, self._ends = list(shapes), np.cumsum(sizes)
        self.flat = {name: self._zeros() for name in ("params", "grads", *states)}
        random = np.random.default_rng(seed)
        for name, size in (("params", 2e-2), ("grads", 1e-3)):
            random.standard_normal(dtype=np.float32, out=self.flat[name])
            self.flat[name] *= np.float32(size)
        self.params, self.grads = self._views("params"), self._views("grads")
        views = [self._views(name) for name in states]
        self.states: list[dict[str, Any]] = [
            dict(zip(states, of_tensor)) for of_tensor in zip(*views)
        ] or [{} for _ in shapes]

    def _zeros(self) -> Floats:
        total = int(self._ends[-1])
        raw = np.empty(total + ALIGNMENT, np.float32)
        skip = -raw.ctypes.data // 4 % ALIGNMENT
        memory = raw[skip : skip + total]
        memory[:] = 0.0  # touched here, so that no contender pays for the pages
        return memory

    def _views(self, name: str) -> list[Floats]:
        starts = [0, *self._ends[:-1].tolist()]
        return [
            self.flat[name][start : start + prod(shape)].reshape(shape)
            for start, shape in zip(starts, self._shapes)
        ]
