"""Which backend updates an array, and why."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

from ..arrays import Memory, describe
from ..errors import BackendError
from ..messages.suggest import counted, did_you_mean
from ..messages.warn import warn
from ..variables import BACKEND as VARIABLE


class Place(NamedTuple):
    """The device of an array and its library, which determine the backend.

    Attributes:
        device: ``"cpu"``, ``"cuda:0"``.
        library: ``"torch"`` or ``"cupy"``; empty on the CPU.
    """

    device: str
    library: str = ""

    def __str__(self) -> str:
        """Return ``"cpu"``, ``"cuda:0"`` or ``"cuda:0 (cupy)"``."""
        return f"{self.device} (cupy)" if self.library == "cupy" else self.device

    @property
    def kind(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.device.partition(":")[0]


def place_of(memory: Memory) -> Place:
    """Return the place of an array."""
    return Place(memory.device, "" if memory.device == "cpu" else memory.library)


@dataclass(frozen=True)
class Backend:
    """A backend, which compiles and launches kernels.

    Attributes:
        name: its name for `use_backend`.
        module: the kernel module, imported only when the backend is chosen.
        devices: the types of device that it supports.
        install: how to install its requirements.
        library: the library whose arrays prefer it, whatever the order.
    """

    name: str
    module: str
    devices: tuple[str, ...]
    install: str
    library: str = ""

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
        """Whether it can be forced on a type of device, including one that it simulates."""
        return kind in self.devices or kind in getattr(self.load(), "SIMULATED_ON", ())

    def problem(self) -> str | None:
        """Return why it cannot run here and what to install, or None if it can."""
        return _problem(self.module, self.install)


@cache
def _problem(module: str, install: str) -> str | None:
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        return f"{import_problem(error)}; to install it: {install}"
    problem: str | None = loaded.problem() if hasattr(loaded, "problem") else None
    return problem


def import_problem(error: Exception) -> str:
    """Return why a library cannot be imported; incompatible builds may raise anything.

    >>> import_problem(ValueError("numpy.dtype size changed"))
    'ValueError: numpy.dtype size changed'
    """
    plain = isinstance(error, (ImportError, OSError))  # OSError: a shared library does not load
    return str(error) if plain else f"{type(error).__name__}: {error}"


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        # in the order of preference on each device
        Backend(
            "triton",
            "gpuopt.kernels.triton.launch",
            ("cuda",),
            "pip install 'gpuopt[torch,triton]'",
        ),
        Backend(
            "cupy",
            "gpuopt.kernels.cuda.launch",
            ("cuda",),
            "pip install 'gpuopt[cupy13]', or cupy12 where the driver is for CUDA 12",
            library="cupy",
        ),
        Backend("llvm", "gpuopt.kernels.llvm.launch", ("cpu",), "pip install 'gpuopt[cpu]'"),
        Backend("numpy", "gpuopt.kernels.numpy.blocks", ("cpu",), "pip install numpy"),
    )
}

_forced: list[str] = []


class use_backend:
    """Force a backend in the whole process, from now on or inside a ``with`` block.

    Args:
        name: one of `BACKENDS`, or None to choose by device again.

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
        """Return it; the constructor has already forced the backend."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the previously forced backend, if any."""
        _forced[:] = self._before


def backend_named(name: str, source: str) -> Backend:
    """Return a backend by name; ``source`` begins the error if there is none."""
    if name not in BACKENDS:
        hint = did_you_mean(name, BACKENDS)
        raise ValueError(f"{source}: expected one of {', '.join(BACKENDS)}, got {name!r}{hint}")
    return BACKENDS[name]


def forced() -> tuple[str, str] | None:
    """Return the name of the forced backend and what forces it, or None."""
    if _forced:
        return _forced[0], "use_backend"
    name = os.environ.get(VARIABLE)
    return (name, VARIABLE) if name else None


def chosen(device: str, library: str = "") -> Backend:
    """Return the backend for the arrays of a library on a device (``"cpu"``, ``"cuda:0"``).

    If none runs, NumPy is used on copies on the host, with one warning.

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
    for backend in _by_preference(library):
        if kind in backend.devices and backend.problem() is None:
            return backend
    warn_once(f"arrays on {device} are updated on the host, slowly: {_missing(kind)}")
    return BACKENDS["numpy"]


def _by_preference(library: str) -> list[Backend]:
    return sorted(BACKENDS.values(), key=lambda b: not (library and b.library == library))


@cache
def warn_once(text: str) -> None:
    """Warn, unless the same text has been warned of before."""
    warn(text)


def _missing(kind: str) -> str:
    """Return why no backend for a type of device runs here, and what to install."""
    problems = {b.name: b.problem() for b in BACKENDS.values() if kind in b.devices}
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items())


@dataclass(frozen=True)
class Launched:
    """Arrays that a step of an optimizer updates in the same way.

    Attributes:
        backend: the backend that updates them.
        device: their device.
        update: the rule, and the stages around it.
        arrays: their names.
        elements: their total number of elements.
        dtypes: the dtypes of the parameters, the gradients and each state, by name.
        passes: the passes over them in a step, each with the bytes per element that it moves.
        launches: the number of launches per pass: one if a single table has them all.
        strided: whether they have gaps, or their gradients or states have another memory order.
    """

    backend: str
    device: str
    update: str
    arrays: tuple[str, ...]
    elements: int
    dtypes: Mapping[str, str]
    passes: Mapping[str, float]
    launches: int = 1
    strided: bool = False

    @property
    def bytes_per_element(self) -> float:
        """The minimum memory traffic of a step, over all passes, in bytes per element."""
        return sum(self.passes.values())

    def __str__(self) -> str:
        """Return it as one line of text."""
        shown = ", ".join(self.arrays[:3]) + ", ..." * (len(self.arrays) > 3)
        parts = [f"{name} {bytes_:g}" for name, bytes_ in self.passes.items()]
        return (
            f"{self.backend} on {self.device}, {counted(self.launches, 'launch', 'launches')}: "
            f"{self.update} of {counted(len(self.arrays), 'array')} ({shown}), "
            f"{self.elements:,} elements, {self.bytes_per_element:g} bytes an element"
            + f" ({', '.join(parts)})" * (len(parts) > 1)
            + "; with gaps, or of several memory orders" * self.strided
        )


@dataclass(frozen=True)
class Explanation:
    """The backend of each device, and why it was chosen.

    Attributes:
        chosen: for each device, the name of the backend.
        reasons: for each device and backend, why it was chosen or not.
        launched: for an optimizer, the launches of its last step.
    """

    chosen: Mapping[str, str]
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    launched: tuple[Launched, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the choices and reasons as plain dicts and strings."""
        return {
            device: {"chosen": self.chosen[device], "reasons": dict(self.reasons[device])}
            for device in self.chosen
        }

    def __str__(self) -> str:
        """Return it as text, one line for each backend and each entry of `launched`."""
        lines = []
        for device, name in self.chosen.items():
            lines.append(f"arrays on {device}: {name}")
            lines += [f"  {other}: {why}" for other, why in self.reasons[device].items()]
        lines += map(str, self.launched)
        return "\n".join(lines)


def explain(arrays: Any) -> Explanation:
    """Return which backend updates these arrays, and why the others do not.

    Args:
        arrays: one array, or a list or dict of them.

    Raises:
        TypeError: one of them is not an array that gpuopt supports.
        BackendError: a forced backend cannot run here; the message says what is missing.

    >>> import numpy as np
    >>> with use_backend("numpy"):
    ...     print(explain(np.zeros(3)))
    arrays on cpu: numpy
      triton: not asked for: use_backend forces 'numpy'
      cupy: not asked for: use_backend forces 'numpy'
      llvm: not asked for: use_backend forces 'numpy'
      numpy: forced by use_backend
    """
    return explain_places(place_of(describe(a, f"arrays[{k!r}]")) for k, a in _named(arrays))


def explain_places(places: Iterable[Place]) -> Explanation:
    """Return which backend updates the arrays of each place, and why."""
    picked = {place: chosen(*place).name for place in dict.fromkeys(places)}
    reasons = {
        str(place): {name: _reason(b, place, choice) for name, b in BACKENDS.items()}
        for place, choice in picked.items()
    }
    return Explanation({str(place): choice for place, choice in picked.items()}, reasons)


def _named(arrays: Any) -> list[tuple[Any, Any]]:
    if isinstance(arrays, Mapping):
        return list(arrays.items())
    if isinstance(arrays, (list, tuple)):
        return list(enumerate(arrays))
    return [(0, arrays)]


def _reason(backend: Backend, place: Place, picked: str) -> str:
    force = forced()
    if force is not None:
        if backend.name == picked:
            return f"forced by {force[1]}"
        return f"not asked for: {force[1]} forces {picked!r}"
    if backend.name == picked == "numpy" and place.kind != "cpu":
        return f"computed on the host, slowly: {_missing(place.kind)}"
    if place.kind not in backend.devices:
        return f"takes arrays on {' or '.join(backend.devices)} only"
    problem = backend.problem()
    if problem is not None:
        return f"cannot run here: {problem}"
    if backend.name == picked:
        return "the first choice for this device that can run"
    return f"usable, but {picked} comes first"
