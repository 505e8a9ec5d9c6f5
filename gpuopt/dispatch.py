"""Which backend updates an array, and why."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, TracebackType
from typing import Any

from .arrays import describe
from .errors import BackendError

VARIABLE = "GPUOPT_BACKEND"


@dataclass(frozen=True)
class Backend:
    """A way to walk the table.

    Attributes:
        name: what the user calls it.
        module: the kernel module, imported only when the backend is chosen.
        devices: the kinds of device whose arrays it takes.
        install: how to get what it needs.
    """

    name: str
    module: str
    devices: tuple[str, ...]
    install: str

    def load(self) -> ModuleType:
        """Import the kernel module.

        Raises:
            BackendError: it cannot run here; the message says what is missing.
        """
        problem = self.problem()
        if problem is not None:
            raise BackendError(f"backend {self.name!r} cannot run here: {problem}")
        return importlib.import_module(self.module)

    def takes(self, kind: str) -> bool:
        """Whether it can be forced on a kind of device; wider than `devices` in a simulation."""
        return kind in self.devices or kind in getattr(self.load(), "SIMULATED_ON", ())

    def problem(self) -> str | None:
        """Return why it cannot run here and what to install, or None if it can."""
        return _problem(self.module, self.install)


@cache
def _problem(module: str, install: str) -> str | None:
    try:
        loaded = importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        return f"{error}; to install it: {install}"
    problem: str | None = loaded.problem() if hasattr(loaded, "problem") else None
    return problem


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        # in the order of preference on each device
        Backend(
            "triton", "gpuopt.kernels.triton_cuda", ("cuda",), "pip install 'gpuopt[torch,triton]'"
        ),
        Backend("numba", "gpuopt.kernels.numba_cpu", ("cpu",), "pip install 'gpuopt[cpu]'"),
        Backend("numpy", "gpuopt.kernels.numpy_blocked", ("cpu",), "pip install numpy"),
    )
}

_forced: list[str] = []


class use_backend:
    """Force a backend, from here on or inside a ``with`` block, in the whole process.

    Args:
        name: one of `BACKENDS`, or None to go back to the choice by device.

    Raises:
        ValueError: there is no such backend.
        BackendError: it cannot run here; the message says what is missing.

    >>> with use_backend("numpy"):
    ...     chosen("cpu").name
    'numpy'
    """

    def __init__(self, name: str | None) -> None:
        """Check that the backend runs, and force it."""
        if name is not None:
            backend_named(name, "use_backend").load()
        self._before = list(_forced)
        _forced[:] = [] if name is None else [name]

    def __enter__(self) -> use_backend:
        """Keep it forced inside the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Go back to what was in force before."""
        _forced[:] = self._before


def backend_named(name: str, source: str) -> Backend:
    """Return a backend by name; ``source`` says in an error who asked for it."""
    if name not in BACKENDS:
        raise ValueError(f"{source}: expected one of {', '.join(BACKENDS)}, got {name!r}")
    return BACKENDS[name]


def forced() -> tuple[str, str] | None:
    """Return the forced backend's name and who forced it, or None."""
    if _forced:
        return _forced[0], "use_backend"
    name = os.environ.get(VARIABLE)
    return (name, VARIABLE) if name else None


def chosen(device: str) -> Backend:
    """Return the backend for arrays on a device (``"cpu"``, ``"cuda:0"``).

    Where none runs, that is the reference, on copies on the host, with one warning.

    Raises:
        ValueError: a backend that does not exist is forced.
        BackendError: the forced backend cannot run there.
    """
    kind = device.partition(":")[0]
    force = forced()
    if force is not None:
        backend = backend_named(*force)
        if not backend.takes(kind):
            raise BackendError(
                f"{force[1]} forces backend {backend.name!r}, which takes arrays on "
                f"{' or '.join(backend.devices)}, not on {device}"
            )
        backend.load()
        return backend
    for backend in BACKENDS.values():
        if kind in backend.devices and backend.problem() is None:
            return backend
    _warn_once(f"arrays on {device} are updated on the host, slowly: {_missing(kind)}")
    return BACKENDS["numpy"]


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def _missing(kind: str) -> str:
    """Return why no backend for a kind of device runs here, and what to install."""
    problems = {b.name: b.problem() for b in BACKENDS.values() if kind in b.devices}
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items())


@dataclass(frozen=True)
class Explanation:
    """Which backend each device's arrays get, and why not each other one.

    Attributes:
        chosen: the backend's name by device.
        reasons: by device and backend, why it is chosen or not.
    """

    chosen: Mapping[str, str]
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            device: {"chosen": self.chosen[device], "reasons": dict(self.reasons[device])}
            for device in self.chosen
        }

    def __str__(self) -> str:
        """Return it as text, a line a backend."""
        lines = []
        for device, name in self.chosen.items():
            lines.append(f"arrays on {device}: {name}")
            lines += [f"  {other}: {why}" for other, why in self.reasons[device].items()]
        return "\n".join(lines)


def explain(arrays: Any) -> Explanation:
    """Say which backend updates these arrays, and why each other one does not.

    Args:
        arrays: one array, or a list or dict of them.

    Raises:
        TypeError: one of them is no array that gpuopt takes.
        BackendError: a forced backend cannot run; the message says what is missing.

    >>> import numpy as np
    >>> with use_backend("numpy"):
    ...     print(explain(np.zeros(3)))
    arrays on cpu: numpy
      triton: not asked for: use_backend forces 'numpy'
      numba: not asked for: use_backend forces 'numpy'
      numpy: forced by use_backend
    """
    return explain_devices(describe(a, f"arrays[{k!r}]").device for k, a in _named(arrays))


def explain_devices(devices: Iterable[str]) -> Explanation:
    """Say which backend arrays on each device get, and why."""
    names = dict.fromkeys(devices)
    picked = {device: chosen(device).name for device in names}
    reasons = {
        device: {name: _reason(b, device, picked[device]) for name, b in BACKENDS.items()}
        for device in names
    }
    return Explanation(picked, reasons)


def _named(arrays: Any) -> list[tuple[Any, Any]]:
    if isinstance(arrays, Mapping):
        return list(arrays.items())
    if isinstance(arrays, (list, tuple)):
        return list(enumerate(arrays))
    return [(0, arrays)]


def _reason(backend: Backend, device: str, picked: str) -> str:
    force = forced()
    if force is not None:
        if backend.name == picked:
            return f"forced by {force[1]}"
        return f"not asked for: {force[1]} forces {picked!r}"
    if backend.name == picked and picked == "numpy" and device != "cpu":
        return f"computed on the host, slowly: {_missing(device.partition(':')[0])}"
    if device.partition(":")[0] not in backend.devices:
        return f"takes arrays on {' or '.join(backend.devices)} only"
    problem = backend.problem()
    if problem is not None:
        return f"cannot run here: {problem}"
    if backend.name == picked:
        return "the first choice for this device that can run"
    return f"usable, but {picked} comes first"
