"""Report what this machine can run: versions, devices, backends, and the backend of each array."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from .engine.dispatch import BACKENDS, Place, explain_places, forced
from .errors import BackendError
from .inspection import kept
from .kernels.thread_count import thread_count
from .messages import tables
from .messages.suggest import did_you_mean
from .messages.tables import Table
from .variables import (
    BACKEND,
    CACHE_DIR,
    CPU,
    DEBUG,
    NUM_THREADS,
    REQUIRE_GPU,
    unknown_variables,
)

Report = dict[str, Any]

PACKAGES = {
    "numpy": ("numpy",),
    "llvmlite": ("llvmlite",),
    "torch": ("torch",),
    "triton": ("triton",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "ml_dtypes": ("ml_dtypes",),
    "safetensors": ("safetensors",),
    "typer": ("typer",),
    "rich": ("rich",),
    "matplotlib": ("matplotlib",),
    "scikit-learn": ("scikit-learn",),
}
"""The packages that gpuopt can use, and the distributions that provide each."""

VARIABLES = (
    BACKEND,
    NUM_THREADS,
    CACHE_DIR,
    CPU,
    DEBUG,
    REQUIRE_GPU,
    "CUDA_VISIBLE_DEVICES",
    "TRITON_INTERPRET",
)
"""The environment variables that affect what runs."""

KINDS = (
    ("NumPy array", "numpy", "cpu"),
    ("torch CPU tensor", "torch", "cpu"),
    ("torch CUDA tensor", "torch", "cuda"),
    ("CuPy array", "cupy", "cuda"),
)
"""The kinds of array: label, package, device."""


def doctor(require: Sequence[str], json_path: Path | None) -> int:
    """Print the report, and return the exit code.

    Args:
        require: names of backends, possibly comma-separated, that must be able to run; the one
            that ``GPUOPT_BACKEND`` names is always required.
        json_path: a file for the report as JSON; ``-`` prints only JSON.

    Returns:
        0 on success, 1 if a required backend cannot run, 2 for an unknown backend or a file that
        cannot be written.
    """
    names = [name.strip() for item in require for name in item.split(",") if name.strip()]
    for name in names:
        if name not in BACKENDS:
            return _fail(2, f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    found = report()
    if json_path == Path("-"):
        print(json.dumps(found, indent=2))
    else:
        _show(_sections(found))
        if json_path is not None:
            try:
                json_path.write_text(json.dumps(found, indent=2) + "\n")
            except OSError as error:
                return _fail(2, f"cannot write {json_path}: {error.strerror}")
    problems = _problems_of(names)
    return _fail(1, "; ".join(problems)) if problems else 0


def report() -> Report:
    """Return the report as JSON data."""
    from . import __version__  # the running version; the installed one may differ

    packages = {name: _version(*distributions) for name, distributions in PACKAGES.items()}
    return {
        "gpuopt": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "unknown_variables": unknown_variables(),
        "devices": {"cpu": _cpu(), "cuda": _cuda()},
        "backends": {
            name: {"devices": list(backend.devices), "problem": backend.problem()}
            for name, backend in BACKENDS.items()
        },
        "arrays": {
            kind: _choice(Place(device, package if device == "cuda" else ""))
            if packages[package]
            else {"backend": None, "reason": f"{package} is not installed"}
            for kind, package, device in KINDS
        },
        "cache": kept.report(),
    }


def compute_capabilities() -> tuple[list[str], str | None]:
    """Return the compute capabilities of this machine's GPUs (``9.0``), or why there are none."""
    found = _cuda()
    return [gpu["compute_capability"] for gpu in found["devices"]], found["problem"]


# --- gathering ------------------------------------------------------------------------------


def _version(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _cpu() -> Report:
    try:
        threads, problem = thread_count(), None
    except ValueError as error:
        threads, problem = None, str(error)
    return {"name": _cpu_name(), "cores": os.cpu_count(), "threads": threads, "problem": problem}


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cuda() -> Report:
    """Query nvidia-smi, which needs no import of torch or CuPy."""
    fields = ("name", "memory.total", "compute_cap", "driver_version")
    rows, problem = nvidia_smi(f"--query-gpu={','.join(fields)}", "--format=csv,noheader")
    keys = ("name", "memory", "compute_capability", "driver")
    return {"devices": [dict(zip(keys, row, strict=False)) for row in rows], "problem": problem}


def nvidia_smi(*arguments: str) -> tuple[list[list[str]], str | None]:
    """Return nvidia-smi's CSV cells and None, or no cells and the reason for the failure."""
    command = ["nvidia-smi", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return [], "no NVIDIA driver: nvidia-smi was not found"
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi failed: {error}"
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip() or f"exit code {answer.returncode}"
        return [], f"nvidia-smi failed: {said.splitlines()[-1]}"
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()], None


def _choice(place: Place) -> Report:
    """Return the backend for arrays in a place, and why; None if no backend can run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reason contains them
            explanation = explain_places([place])
    except (BackendError, ValueError) as error:
        return {"backend": None, "reason": str(error)}
    name = explanation.chosen[str(place)]
    return {"backend": name, "reason": explanation.reasons[str(place)][name]}


def _problems_of(names: Sequence[str]) -> list[str]:
    problems = []
    for name in names:
        problem = BACKENDS[name].problem()
        if problem is not None:
            problems.append(f"required backend {name!r} cannot run: {problem}")
    force = forced()
    if force is not None:
        name, source = force
        unknown = f"there is no such backend{did_you_mean(name, BACKENDS)}"
        problem = BACKENDS[name].problem() if name in BACKENDS else unknown
        if problem is not None:
            problems.append(f"backend {name!r}, forced by {source}, cannot run: {problem}")
    return problems


# --- printing -------------------------------------------------------------------------------

Sections = dict[str, list[tuple[str, str, str]]]


def _sections(found: Report) -> Sections:
    """Return the report as rows of three cells under headings."""
    cpu, cuda = found["devices"]["cpu"], found["devices"]["cuda"]
    threads = cpu["problem"] or f"{cpu['cores']} cores, {cpu['threads']} threads a step"
    devices = [("cpu", cpu["name"], threads)]
    devices += [
        (f"cuda:{i}", gpu["name"], ", ".join(list(gpu.values())[1:]))
        for i, gpu in enumerate(cuda["devices"])
    ]
    if cuda["problem"]:
        devices.append(("cuda", "none", cuda["problem"]))
    sections = {
        "Versions": [
            ("gpuopt", found["gpuopt"], str(Path(__file__).parent)),
            ("python", found["python"], found["platform"]),
            *((name, version or "-", "") for name, version in found["packages"].items()),
        ],
        "Devices": devices,
        "Backends": [
            (
                name,
                "usable" if backend["problem"] is None else "no",
                backend["problem"] or f"for arrays on {' and '.join(backend['devices'])}",
            )
            for name, backend in found["backends"].items()
        ],
        "Backend of each kind of array": [
            (kind, choice["backend"] or "none", choice["reason"])
            for kind, choice in found["arrays"].items()
        ],
    }
    sections["Compiled kernels on disk"] = [kept.row(found["cache"])]
    variables = [(name, value, "") for name, value in found["environment"].items()]
    variables += [(name, os.environ[name], why) for name, why in found["unknown_variables"].items()]
    if variables:
        sections["Environment"] = variables
    return sections


NEXT = "gpuopt verify runs every usable backend beside NumPy, bit for bit, in less than a minute."


_COLOURS = {"none": "red", "no": "red", "-": "dim", "usable": "green"}


def _show(sections: Sections) -> None:
    heads = ("name", "value", "about")
    for title, rows in sections.items():
        tables.show(Table(title, heads, rows, header=False, wraps=heads[1:], styles=_COLOURS))
        print()
    print(NEXT)


def _fail(code: int, message: str) -> int:
    print(f"gpuopt doctor: {message}", file=sys.stderr)
    return code
