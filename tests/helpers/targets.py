"""The backends under test, and the replacements for a GPU.

`pytest --cuda` selects how the two CUDA backends run:

    sim         compiled kernels on the simulated device (the default)
    interpret   Triton in its interpreter, CUDA C compiled by g++
    gpu         on a GPU; without one, tests that need it fail

Each of several comma-separated ways runs the same tests in its own process, because the way in
which Triton runs is fixed at import.
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
"""The architectures of the simulated device; 90 unless a test is marked every_arch."""


def ways_of(text):
    """Return the ways in the option's text.

    Raises:
        ValueError: a way is unknown.
    """
    ways = tuple(text.split(","))
    if not set(ways) <= set(WAYS):
        raise ValueError(f"--cuda: expected some of {', '.join(WAYS)}, got {text!r}")
    return ways


def prepare(way):
    """Set the environment before the libraries are imported."""
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
        how: how its CUDA code runs; empty for CPU backends.
        arch: of the simulated device.
    """

    name: str
    how: str = ""
    arch: int = 0

    def __str__(self):
        """Return the text in a test's name."""
        where = f"sm_{self.arch}" if self.arch else self.how
        return "-".join(filter(None, (self.name, where)))

    @contextmanager
    def in_force(self, monkeypatch):
        """Run the backend this way inside the block."""
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
"""The modules of `tests.helpers` that replace a backend's module, to accept host arrays."""


def stand_ins(way):
    """Return the backends with their replacements."""
    return {name: _stand_in(way, name) or real for name, real in BACKENDS.items()}


def _stand_in(way, name):
    """Return a backend's replacement, or None if its library is not installed."""
    module = STAND_INS[way].get(name)
    try:
        return module and import_module(f"tests.helpers.{module}").BACKEND
    except ImportError:
        return None


def targets(way, archs):
    """Return the targets that run here, besides the reference.

    Args:
        way: how the CUDA backends run.
        archs: of the simulated device.
    """
    found = []
    for name, backend in stand_ins(way).items():
        if way == "gpu" and "cuda" in backend.devices:
            found.append(Target(name, way))  # even without a GPU, to fail
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
