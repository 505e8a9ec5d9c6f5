"""The memory that all contenders share, so that each starts from the same cache contents."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .models import Shape, Shapes
from .step import Unavailable

ALIGNMENT = 32
"""Elements: each tensor starts at a multiple of 64 bytes, as torch allocates them."""

DTYPES = ("float32", "bfloat16", "float16", "float64")
"""The dtypes of parameters and gradients that ``--dtype`` accepts."""

_NOISE = 1 << 22
"""The number of random numbers drawn; longer lists repeat them."""


def state_dtype(dtype: str) -> str:
    """Return the dtype of the states: at least float32."""
    return "float64" if dtype == "float64" else "float32"


def import_torch() -> Any:
    """Return torch; raise `Unavailable` if it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise Unavailable("torch is not installed") from None


def storage(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name; raise `Unavailable` for bfloat16 without ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        raise Unavailable("bfloat16 needs ml_dtypes") from None


def as_torch(array: Any) -> Any:
    """Return a torch tensor that shares the memory of an array."""
    torch = import_torch()
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_float64(array: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a copy on the host, in float64."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    return array.double().cpu().numpy()


class SharedBuffers:
    """Parameters, gradients and states, each list in one contiguous buffer.

    NumPy arrays on the CPU, torch tensors on a CUDA device.

    Attributes:
        dtype: of parameters and gradients; states have `state_dtype`.
        device: ``"cpu"`` or ``"cuda"``.
        flat: each list ("params", "grads", and the states by name) as one flat array.
        params: the parameters, views of that array.
        grads: the gradients, likewise.
        states: for each parameter, its states by name.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        states: Sequence[str],
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        """Fill parameters and gradients with noise of typical magnitude, states with zeros."""
        self.dtype, self.device = dtype, device
        sizes = [-(-prod(shape) // ALIGNMENT) * ALIGNMENT for shape in shapes]
        self._shapes, self._ends = list(shapes), np.cumsum(sizes)
        dtypes = {"params": dtype, "grads": dtype, **dict.fromkeys(states, state_dtype(dtype))}
        self.flat = {name: self._zeros(of_list) for name, of_list in dtypes.items()}
        random = np.random.default_rng(0)
        for name, size in (("params", 2e-2), ("grads", 1e-3)):
            total = int(self._ends[-1])
            noise = random.standard_normal(min(total, _NOISE), np.float32) * np.float32(size)
            for start in range(0, total, _NOISE):
                self.fill(name, noise[: total - start], start)
        self.params, self.grads = self._views("params"), self._views("grads")
        views = [self._views(name) for name in states]
        self.states: list[dict[str, Any]] = [
            dict(zip(states, of_tensor)) for of_tensor in zip(*views)
        ] or [{} for _ in shapes]

    @property
    def bytes(self) -> int:
        """The size of all lists in bytes."""
        return sum(array.nbytes for array in self.flat.values())

    def fill(self, name: str, values: Any, start: int = 0) -> None:
        """Write values into a list, rounded to its dtype."""
        part = self.flat[name][start : start + len(values)]
        if isinstance(part, np.ndarray):
            part[:] = values.astype(part.dtype)
        else:
            part.copy_(import_torch().from_numpy(values))

    def _zeros(self, dtype: str) -> Any:
        total = int(self._ends[-1])
        if self.device != "cpu":
            torch = import_torch()
            return torch.zeros(total, dtype=getattr(torch, dtype), device=self.device)
        kind = storage(dtype)
        raw = np.empty(total * kind.itemsize + 64, np.uint8)
        skip = -raw.ctypes.data % 64
        memory = raw[skip : skip + total * kind.itemsize].view(kind)
        memory[:] = 0  # page faults happen here, not in a contender's time
        return memory

    def _views(self, name: str) -> list[Any]:
        starts = [0, *self._ends[:-1].tolist()]
        return [
            self.flat[name][start : start + prod(shape)].reshape(shape)
            for start, shape in zip(starts, self._shapes)
        ]


def new_params(shapes: Shapes, dtype: str, device: str) -> list[Any]:
    """Return parameters with gradients; equal arguments give equal values.

    The norm of the gradients is below the limit, so the clipping factor is 1. Otherwise torch's
    clipping, which scales in place, would shrink them at each step, finally to slow denormals.
    """
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    norm = sum(map(prod, shapes)) ** 0.5
    params = []
    for shape in shapes:
        kind = {"dtype": getattr(torch, dtype), "device": device}
        param = torch.nn.Parameter(torch.randn(shape, generator=generator).to(**kind))
        param.grad = (torch.randn(shape, generator=generator) * (0.5 / norm)).to(**kind)
        params.append(param)
    return params
