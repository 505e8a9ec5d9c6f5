"""The workflows are what GitHub takes, and name what is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_all_workflows_are_there():
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "gpu.yml", "nightly.yml"]


def check(file):
    command = [sys.executable, "-m", "check_jsonschema"]
    asked = ["--builtin-schema", "vendor.github-workflows", str(file)]
    return subprocess.run([*command, *asked], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_keeps_the_schema_of_workflows(file):
    pytest.importorskip("check_jsonschema")
    done = check(file)
    assert done.returncode == 0, done.stdout


def test_the_schema_finds_a_mistake(tmp_path):
    pytest.importorskip("check_jsonschema")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    assert check(wrong).returncode == 1


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_target_of_make_is_there(file):
    makefile = (ROOT / "Makefile").read_text()
    known = set(" ".join(re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)).split())
    known.add(".venv/.test")
    text = file.read_text()
    named = re.findall(r"(?:run: make|targets:) ((?:[\w.$/-]+ ?)+)$", text, re.MULTILINE)
    assert named
    assert {target for line in named for target in line.split()} - {"$"} <= known


def test_every_python_that_gpuopt_takes_is_tested():
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert re.search(r"python: \[(.*)\]", WORKFLOWS[0].read_text())[1] == ", ".join(
        f'"{version}"' for version in classifiers
    )


def test_the_oldest_numpy_and_triton_that_gpuopt_takes_are_tested():
    project, text = (ROOT / "pyproject.toml").read_text(), WORKFLOWS[0].read_text()
    for name in ("numpy", "triton"):
        (lowest,) = set(re.findall(rf'"{name}>=([\d.]+)', project))
        assert re.search(rf'{name}: "?{re.escape(lowest)}\b', text)
