"""The steps of the stages that test: smoke, test and sanitize."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.gpu.stages.machine import tool
from tests.gpu.stages.step import Step

BACKENDS = ("triton", "cupy")
TESTING = ("pytest", "ml_dtypes", "torch")


@dataclass(frozen=True)
class Settings:
    """What the command line asks for, and what is missing.

    Attributes:
        out: the folder for all results.
        dry: do on the CPU what can be done there.
        workers: processes for the tests.
        missing: modules and programs that are not here.
        before: the folder with the results of an earlier `bench`, or None.
    """

    out: Path
    dry: bool = False
    workers: int = 12
    missing: frozenset[str] = frozenset()
    before: Path | None = None

    @property
    def device(self):
        """The device that the programs take."""
        return "cpu" if self.dry else "cuda"

    @property
    def backends(self):
        """The backends that the programs run: on the CPU, the reference takes their place."""
        return ("numpy",) if self.dry else tuple(n for n in BACKENDS if n not in self.missing)


def python(name, seconds, *arguments, needs=(), junit=None):
    """Return a step that runs a module by this interpreter."""
    command = (sys.executable, "-m", *map(str, arguments))
    return Step(name, seconds, command, needs, junit=junit)


def program(name, seconds, asked, module, *arguments):
    """Return a step that runs a program of tests/gpu/programs on the device."""
    arguments = (f"tests.gpu.programs.{module}", "--device", asked.device, *arguments)
    return python(name, seconds, *arguments, needs=("torch",))


def pytest(name, seconds, asked, stage, *arguments, workers=1):
    """Return a step that runs tests on the device, in workers that are replaced if they break."""
    folder = asked.out / stage
    junit = folder / f"{name}.xml"
    options = ["-q", "-p", "no:cacheprovider", "--durations", "15", "--tb", "short"]
    options += ["-p", "tests.gpu.broken_context", "--broken-contexts", folder / "broken.txt"]
    options += ["--junitxml", junit]
    options += ["--cuda", "sim"] if asked.dry else ["--cuda", "gpu", "-m", "gpu"]
    if absent := [backend for backend in BACKENDS if backend in asked.missing]:
        options += ["-k", " and ".join(f"not {backend}" for backend in absent)]
    if "xdist" not in asked.missing:
        options += ["-n", workers, "--dist", "worksteal", "--max-worker-restart", 200]
    command = ("pytest", *arguments, *options)
    return python(name, seconds, *command, needs=TESTING, junit=junit)


def doctor(asked):
    """Return the step that says in one line which backend is missing, instead of every test."""
    asked_for = () if asked.dry else ("--require", ",".join(BACKENDS))
    return python("doctor", 60, "gpuopt", "doctor", *asked_for)


FIRST = (
    "tests/gpu/test_streams_on_device.py",
    "tests/gpu/test_first_steps_on_device.py",
    "tests/gpu/test_graphs_on_device.py",
)
"""What can go wrong on a device alone."""


def smoke(asked):
    """Return the steps that say in a few minutes whether the backends work at all."""
    file = asked.out / "smoke" / "verify"
    written = ("--json", file.with_suffix(".json"), "--report", file.with_suffix(".md"))
    return [
        Step("nvidia-smi", 30, ("nvidia-smi",), ("nvidia-smi",)),
        doctor(asked),
        python("verify", 240, "gpuopt", "verify", *written),
        pytest("first", 200, asked, "smoke", *FIRST),
    ]


FAR = (
    "tests/backends/test_far_offsets.py",
    "tests/gpu/test_triton_on_device.py::test_a_tensor_beyond_2_to_the_31_elements",
    "tests/gpu/test_cupy_on_device.py::test_an_array_beyond_2_to_the_31_elements",
)
"""Tests that take gigabytes of the device's memory."""


def test(asked):
    """Return the steps that run all tests of a device; those of 2^31 elements alone, and last."""
    backends, far = ("tests/backends",), FAR
    if asked.dry:
        backends, far = ("tests/backends/test_skip.py",), (*FAR, "-k", "numpy")
    but = [part for name in FAR for part in ("--deselect", name)]
    few = min(4, asked.workers)
    return [
        doctor(asked),
        pytest("gpu", 150, asked, "test", "tests/gpu", *but, workers=few),
        pytest("backends", 330, asked, "test", *backends, *but, workers=asked.workers),
        pytest("far", 100, asked, "test", *far),
    ]


SANITIZING = ("torch", "compute-sanitizer")
CHECKERS = ("memcheck", "racecheck", "synccheck")
EACH_TENSOR_ALONE = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
"""Each tensor is an allocation of its own, so that an access beyond its end is seen."""


def sanitize(asked):
    """Yield the steps that run every kernel under compute-sanitizer, after it is compiled."""
    path = tool("compute-sanitizer") or "compute-sanitizer"
    options = (*_ours_alone(path), "--error-exitcode", "9", "--print-limit", "20")
    for backend in asked.backends:
        step = program(f"compile-{backend}", 60, asked, "every_kernel", "--backend", backend)
        needs = step.needs if asked.dry else SANITIZING
        yield replace(step, environment=EACH_TENSOR_ALONE, needs=needs)
    for checker in () if asked.dry else CHECKERS:
        for backend in asked.backends:
            step = program("", 100, asked, "every_kernel", "--backend", backend)
            command = (path, "--tool", checker, *options, *step.command)
            yield Step(f"{checker}-{backend}", 100, command, SANITIZING, EACH_TENSOR_ALONE)


def _ours_alone(path):
    """Return the options that check gpuopt's kernels alone, as this release spells them."""
    try:
        done = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    for option in ("--kernel-regex", "--filter"):
        if option in done.stdout + done.stderr:
            return (option, "kns=multi_tensor")
    return ()


def workers_here(device):
    """Return how many processes test at once: by the processors, and two GiB of the device each."""
    by_memory = device.get("memory_mib", 1 << 20) // 2048
    return max(1, min(12, by_memory, (os.cpu_count() or 1) - 2))
