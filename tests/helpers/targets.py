"""What the tests of the backends run on: the backends, and the devices that stand in for a GPU.

`pytest --cuda` says how the two CUDA backends run, several ways separated by commas:

    sim         their compiled kernels, on the simulated device (the default)
    interpret   Triton in its interpreter, CUDA C compiled by g++
    gpu         the tests that need a GPU must find one

Triton is either interpreted or compiled, as a process decides when it imports Triton:
``interpret`` and ``sim`` at once are two runs.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass

from gpuopt.dispatch import BACKENDS
from tests.helpers import simulated_cupy

WAYS = ("interpret", "sim", "gpu")

ARCHS = (80, 90, 100)
"""The architectures of the simulated device; 90 where a test does not ask for all."""


def ways_of(text):
    """Read the option.

    Raises:
        ValueError: it says what cannot be done.
    """
    ways = tuple(text.split(","))
    if not set(ways) <= set(WAYS):
        raise ValueError(f"--cuda: expected some of {', '.join(WAYS)}, got {text!r}")
    if {"interpret", "sim"} <= set(ways):
        raise ValueError(
            "--cuda: interpret and sim are two runs, as one process imports Triton once"
        )
    return ways


def prepare(ways):
    """Tell the libraries, before anyone imports them."""
    if "interpret" in ways:
        os.environ["TRITON_INTERPRET"] = "1"
    if "gpu" in ways:
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
        if self.how != "sim":
            yield
            return
        from tests.simgpu import driver

        if self.name == "cupy":
            from tests.simgpu import nvrtc

            monkeypatch.setattr(simulated_cupy, "compiled", lambda s: nvrtc.Module(s, self.arch))
        with driver.on(self.arch):
            yield


def stand_ins(ways):
    """Return the backends as the tests see them: without a GPU, others in their place."""
    found = {"cupy": simulated_cupy.BACKEND}
    if "sim" in ways:
        found["triton"] = _triton()
    return {name: found.get(name, real) or real for name, real in BACKENDS.items()}


def _triton():
    """Return the simulated backend, or None where Triton is not installed."""
    try:
        from tests.helpers import simulated_triton
    except ImportError:
        return None
    return simulated_triton.BACKEND


def targets(ways, archs):
    """Return what runs here beside the reference.

    Args:
        ways: how the CUDA backends run.
        archs: of the simulated device.
    """
    found = []
    for name, backend in stand_ins(ways).items():
        if name == "numpy" or backend.problem() is not None or not backend.takes("cpu"):
            continue
        if "cuda" not in backend.devices:
            found.append(Target(name))
        elif "sim" in ways and (name == "triton" or _nvrtc()):
            found += [Target(name, "sim", arch) for arch in archs]
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
