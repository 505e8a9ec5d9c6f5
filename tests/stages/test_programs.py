"""The programs for sanitizers and profilers, on the CPU."""

import json
import subprocess
import sys

import pytest

from tests.gpu.stages.step import ROOT

pytest.importorskip("torch")


def run(program, *arguments):
    command = [sys.executable, "-m", f"tests.gpu.programs.{program}", "--device", "cpu"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_every_kernel():
    from tests.gpu.programs.every_kernel import CASES

    assert len(run("every_kernel", "--backend", "numpy")) == len(CASES) + 1


@pytest.mark.parametrize("options", [("torch",), ("numpy", "--clip", "--dtype", "bfloat16")])
def test_four_steps(options):
    assert run("four_steps", "--backend", *options) == ["done"]


def test_the_times_of_kernels(tmp_path):
    file = tmp_path / "times.json"
    *_, last = run("kernel_times", "--json", str(file))
    found = json.loads(file.read_text())
    assert last == f"{len(found)} measured, 0 failed: none"
    step = found["1M float32, numpy"]
    copied = found["copy"]["bytes_per_second"]
    assert step["bytes_per_second"] == pytest.approx(28 * (1 << 20) / step["seconds"], rel=1e-12)
    assert step["of_copy"] == step["bytes_per_second"] / copied
    assert len(found["first steps, numpy"]["seconds"]) == 3


def test_the_bytes_of_a_step():
    """Parameter and states are read and written, the gradient is read: twice for a norm."""
    from tests.gpu.programs.kernel_times import Case

    shapes = ((1000,), (24, 1))
    assert Case("", shapes).bytes("triton") == 28 * 1024
    assert Case("", shapes, "bfloat16").bytes("triton") == (6 + 16) * 1024
    assert Case("", shapes, "bfloat16").bytes("torch") == (6 + 8) * 1024
    assert Case("", shapes, "float32", {"clip_norm": 1.0}).bytes("cupy") == 32 * 1024
    assert Case("", shapes, "float32", {"ema_decay": 0.9}).bytes("cupy") == 36 * 1024
    assert Case("", shapes, "bfloat16", {"state_dtype": "bfloat16"}).bytes("cupy") == 14 * 1024
