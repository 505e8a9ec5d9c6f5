"""What this machine has, and what is missing for the stages."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec

from tests.gpu.stages.step import ROOT

MODULES = {
    "numpy": "everything",
    "torch": "everything but the tests of CuPy's arrays",
    "triton": "the Triton backend",
    "cupy": "the CuPy backend",
    "pytest": "the tests",
    "ml_dtypes": "the tests",
    "xdist": "the tests in parallel workers (pytest-xdist)",
    "hypothesis": "the tests with random shapes",
    "safetensors": "the tests of files",
    "typer": "the benchmarks",
    "matplotlib": "the pictures of the benchmarks",
}
"""What needs each module. Nothing else is imported, least of all what `make lint` needs."""

TOOLS = {
    "gcc": "the Triton backend (or clang)",
    "nvidia-smi": "gpuopt doctor, and the state of the GPU",
    "compute-sanitizer": "the stage sanitize",
    "ncu": "the counters of the stage profile",
}
"""What needs each program."""


def missing():
    """Return the modules and programs that are not here, and what needs each."""
    modules = {name: why for name, why in MODULES.items() if find_spec(name) is None}
    return {**modules, **{name: why for name, why in TOOLS.items() if tool(name) is None}}


def tool(name):
    """Return the path of a program, on the PATH or in the CUDA toolkit, or None."""
    toolkit = os.path.join(os.environ.get("CUDA_HOME") or "/usr/local/cuda", "bin")
    return shutil.which(name) or shutil.which(name, path=toolkit)


def versions():
    """Return the version of each installed package."""
    found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def host():
    """Return what the results depend on besides the device."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "python": sys.version.split()[0],
        "cpus": os.cpu_count(),
        "memory_gib": pages >> 30,
        "free_disk_gib": shutil.disk_usage(ROOT).free >> 30,
    }


def device():
    """Return the facts of the CUDA device, and why there is none; in another process."""
    command = [sys.executable, "-m", "tests.gpu.device"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {}, f"the search for one failed: {said[-1]}"
    found = json.loads(done.stdout.splitlines()[-1])
    return found["device"], found["missing"]
