"""What the tests of the backends run on: the backends, and the devices that stand in for a GPU.

`pytest --cuda` says how the two CUDA backends run:

    sim         their compiled kernels, on the simulated device (the default)
    interpret   Triton in its interpreter, CUDA C compiled by g++
    gpu         on a GPU; without one, what needs it fails

Several, separated by commas, are as many runs of the same tests, each in a process of its own: a
process decides how Triton runs when it imports it.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import pytest

from gpuopt.engine.dispatch import BACKENDS
from tests.helpers import simulated_cupy

WAYS = ("interpret", "sim", "gpu")

ARCHS = (80, 90, 100)
"""The architectures of the simulated device; 90 where a test does not ask for all."""


def ways_of(text):
    """Read the option.

    Raises:
        ValueError: there is no such way.
    """
    ways = tuple(text.split(","))
    if not set(ways) <= set(WAYS):
        raise ValueError(f"--cuda: expected some of {', '.join(WAYS)}, got {text!r}")
    return ways


def prepare(way):
    """Tell the libraries, before anyone imports them."""
    os.environ.pop("TRITON_INTERPRET", None)
    if way == "interpret":
        os.environ["TRITON_INTERPRET"] = "1"
    if way == "gpu":
        os.environ["GPUOPT_REQUIRE_GPU"] = "1"


@dataclass(frozen=True)
class Target:
    """A backend, and how it runs.

    Attributes:
        name: of the backend.
        how: how its CUDA code runs; empty for the backends of the CPU.
        arch: of the simulated device.
    """

    name: str
    how: str = ""
    arch: int = 0

    def __str__(self):
        """Return what a test's name says."""
        where = f"sm_{self.arch}" if self.arch else self.how
        return "-".join(filter(None, (self.name, where)))

    @contextmanager
    def in_force(self, monkeypatch):
        """Let the backend run this way inside the block."""
        problem = BACKENDS[self.name].problem()
        if self.how == "gpu" and problem:
            pytest.fail(f"--cuda gpu, but the backend {self.name} cannot run here: {problem}")
        if self.how != "sim":
            yield
            return
        from tests.simgpu import driver

        if self.name == "cupy":
            from tests.simgpu import nvrtc

            monkeypatch.setattr(simulated_cupy, "compiled", lambda s: nvrtc.Module(s, self.arch))
        with driver.on(self.arch):
            yield


STAND_INS = {
    "interpret": {"cupy": "simulated_cupy"},
    "sim": {"triton": "simulated_triton", "cupy": "simulated_cupy"},
    "gpu": {"triton": "gpu_triton", "cupy": "gpu_cupy"},
}
"""The modules of `tests.helpers` that take the place of a backend's own: they take host arrays."""


def stand_ins(way):
    """Return the backends as the tests see them."""
    return {name: _stand_in(way, name) or real for name, real in BACKENDS.items()}


def _stand_in(way, name):
    """Return what takes a backend's place, or None where its library is not installed."""
    module = STAND_INS[way].get(name)
    try:
        return module and import_module(f"tests.helpers.{module}").BACKEND
    except ImportError:
        return None


def targets(way, archs):
    """Return what runs here beside the reference.

    Args:
        way: how the CUDA backends run.
        archs: of the simulated device.
    """
    found = []
    for name, backend in stand_ins(way).items():
        if way == "gpu" and "cuda" in backend.devices:
            found.append(Target(name, way))  # whether there is one or not
        elif name == "numpy" or backend.problem() is not None or not backend.takes("cpu"):
            continue
        elif "cuda" not in backend.devices:
            found.append(Target(name))
        elif way == "sim" and (name == "triton" or _nvrtc()):
            found += [Target(name, way, arch) for arch in archs]
        else:
            found.append(Target(name, "interpreted" if name == "triton" else "g++"))
    return found


def _nvrtc():
    from tests.simgpu import build

    try:
        import gpuopt.inspection.nvrtc  # noqa: F401  (to see whether it can be)
    except ImportError:
        return False
    return build.problem() is None
