"""The workflows are what GitHub takes, and name what is there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from gpuopt import __version__ as VERSION
from gpuopt.variables import KNOWN
from tests.helpers.schemas import by_schema

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SHOWN = ROOT / "examples/gpu_runner.yml"
"""One for other projects to copy."""


def test_all_workflows_are_there():
    names = [file.name for file in WORKFLOWS]
    assert names == ["ci.yml", "gpu.yml", "nightly.yml", "release.yml"]


def check(file):
    return by_schema("github-workflows", file)


@pytest.mark.parametrize("file", [*WORKFLOWS, SHOWN], ids=lambda file: file.name)
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
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(" ".join(re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)).split())
    rules = " ".join(re.findall(r"^([a-z][\w -]*):", makefile, re.MULTILINE)).split()
    known &= set(rules)
    known.add(".venv/.test")
    text = file.read_text(encoding="utf-8")
    named = re.findall(r"(?:run: make|targets:) ((?:[\w.$/-]+ ?)+)$", text, re.MULTILINE)
    assert named
    assert {target for line in named for target in line.split()} - {"$"} <= known


@pytest.mark.parametrize("file", [*WORKFLOWS, SHOWN], ids=lambda file: file.name)
def test_gpuopt_knows_the_variables_that_are_set(file):
    """It warns of any other, and warnings are errors."""
    assert set(re.findall(r"GPUOPT_\w+", file.read_text(encoding="utf-8"))) <= set(KNOWN)


# --- what they run, against what pyproject.toml claims --------------------------------------------

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
CI = WORKFLOWS[0].read_text(encoding="utf-8")


def lowest(name):
    """The lowest version of a package that gpuopt takes."""
    (version,) = set(re.findall(rf'"{name}>=([\d.]+)', PROJECT))
    return version


def test_every_python_that_gpuopt_takes_is_tested():
    classifiers = re.findall(r"Python :: (3\.\d+)", PROJECT)
    assert re.search(r"python: \[(.*)\]", CI)[1] == ", ".join(
        f'"{version}"' for version in classifiers
    )
    assert re.search(r'requires-python = ">=(.*)"', PROJECT)[1] == classifiers[0]


def test_the_guides_name_the_pythons_that_are_tested():
    first, *_, last = re.findall(r"Python :: (3\.\d+)", PROJECT)
    for guide in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / guide).read_text(encoding="utf-8")
        assert re.findall(r"(3\.\d+) to (3\.\d+)", text) == [(first, last)], guide


@pytest.mark.parametrize("name", ["torch", "numpy", "llvmlite", "safetensors", "typer"])
def test_the_oldest_that_gpuopt_takes_is_tested(name):
    assert re.search(rf"\b{name}=={re.escape(lowest(name))}(\.0)*(?![\d.])", CI)


@pytest.mark.parametrize("name", ["numpy", "triton"])
def test_the_oldest_with_the_newest_of_all_else(name):
    assert re.search(rf'{name}: "?{re.escape(lowest(name))}\b', CI)


@pytest.mark.parametrize("system", ["ubuntu", "macos", "windows"])
def test_every_system_that_the_wheel_is_for_is_tested(system):
    """It is pure Python, and says of no system that it is not for it."""
    assert "Operating System ::" not in PROJECT
    assert f"{system}-latest" in CI


# --- what they may do -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", [*WORKFLOWS, SHOWN], ids=lambda file: file.name)
def test_every_action_is_one_commit_whose_version_is_named(file):
    used = re.findall(r"uses: (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_an_action_has_the_same_commit_everywhere():
    text = "".join(file.read_text(encoding="utf-8") for file in [*WORKFLOWS, SHOWN])
    pins = set(re.findall(r"uses: ([\w-]+/[\w-]+)(?:/[\w/-]+)?@(.*)$", text, re.MULTILINE))
    assert len(pins) == len(dict(pins))


READ = "contents: read"
MORE = {"release.yml": {"attest": [READ, "id-token: write", "attestations: write"],
                        "publish": [READ, "id-token: write"]}}  # fmt: skip
"""What jobs may do besides reading."""


@pytest.mark.parametrize("file", [*WORKFLOWS, SHOWN], ids=lambda file: file.name)
def test_a_workflow_reads_and_ends(file):
    """It may write nothing, has a limit for every job, and does not run twice at once."""
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^permissions:\n((?: +.*\n)+?)(?=\S)", text, re.MULTILINE) == [f"  {READ}\n"]
    jobs = re.split(r"^  (?=\w+:$)", text.partition("\njobs:\n")[2], flags=re.MULTILINE)[1:]
    assert jobs
    for job in jobs:
        assert re.search(r"^    timeout-minutes: \d+$", job, re.MULTILINE), job
        own = re.search(r"^ +permissions:\n((?: {6}\S.*\n)+)", job, re.MULTILINE)
        allowed = MORE.get(file.name, {}).get(job.partition(":")[0])
        assert (own and re.findall(r"\S.*", own[1])) == allowed, job
    assert re.search(r"^concurrency:$", text, re.MULTILINE)
    checkouts = len(re.findall("actions/checkout@", text))
    assert len(re.findall("persist-credentials: false", text)) == checkouts


# --- the release ----------------------------------------------------------------------------------

RELEASE = WORKFLOWS[-1].read_text(encoding="utf-8")


def job_of_release(name):
    return re.search(rf"^  {name}:\n((?:(?:    .*)?\n)+)", RELEASE, re.MULTILINE)[1]


def test_nothing_is_published_before_it_is_built_checked_attested_and_approved():
    assert "needs" not in job_of_release("build")
    assert "twine check --strict dist/*" in job_of_release("build")
    assert "needs: build\n" in job_of_release("attest")
    assert "attest-build-provenance@" in job_of_release("attest")
    assert "needs: attest\n" in job_of_release("publish")
    assert "environment: release\n" in job_of_release("publish")  # its reviewers approve
    assert RELEASE.count("pypi-publish@") == 1 and "pypi-publish@" in job_of_release("publish")


def test_a_release_uses_no_secret_and_runs_no_code_where_it_has_an_identity():
    assert "secrets." not in RELEASE and "password" not in RELEASE
    for name in MORE["release.yml"]:
        assert "run:" not in job_of_release(name)


def test_the_tests_of_a_release_are_there():
    (tests,) = re.findall(r"PYTEST_ARGS: (.*)$", RELEASE, re.MULTILINE)
    assert tests.split() and all((ROOT / name).is_file() for name in tests.split())


def test_a_tag_is_compared_with_the_version():
    (command,) = re.findall(r"run: (test \"\$GITHUB_REF_NAME.*)$", RELEASE, re.MULTILINE)
    for tag, code in ((f"v{VERSION}", 0), (VERSION, 1), (f"v{VERSION}.1", 1)):
        environment = {**os.environ, "GITHUB_REF_NAME": tag}
        assert subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment).returncode == code
