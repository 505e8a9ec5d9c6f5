"""The tests are collected where packages are missing that machines with a GPU may lack."""

import os
import subprocess
import sys

import pytest

from tests.gpu.stages.step import ROOT

ABSENT = ("expecttest", "jsonschema", "check_jsonschema", "xdist", "hypothesis", "mypy", "ruff")
COMMANDS = ("typer",)
"""What the benchmarks need; the stages that run them are skipped without it."""

FRAMEWORKS = ("pytorch_lightning", "lightning", "accelerate", "transformers")

COLLECT = """
import sys
from importlib.machinery import PathFinder

import pytest

absent = sys.argv[1].split(",")


class Rest(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in absent:
            return super().find_spec(name, path, target)


sys.meta_path[:] = [Rest if finder is PathFinder else finder for finder in sys.meta_path]
sys.exit(pytest.main(["-q", "-q", "--collect-only", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("folder", ["gpu", "backends", "benchmarks", "drop_in"])
def test_the_tests_are_collected(folder):
    if folder == "drop_in":
        pytest.importorskip("torch")
    absent = (*ABSENT, *FRAMEWORKS, *(COMMANDS if folder != "benchmarks" else ()))
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, ",".join(absent), f"tests/{folder}"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
