"""A checkout runs where nothing is installed, and what an installed wheel lacks is found in it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gpuopt

ROOT = Path(__file__).parents[1]
INSTALLED = Path(np.__file__).parents[1]

WHERE = "import gpuopt.kernels.table as k, gpuopt; print(gpuopt.__file__, k.__file__, sep='\\n')"


@pytest.fixture
def only(tmp_path):
    """Make a folder with some of the installed packages, and no trace of gpuopt among them."""

    def link(wanted):
        folder = tmp_path / "packages"
        folder.mkdir()
        for one in INSTALLED.iterdir():
            if "gpuopt" not in one.name and one.suffix != ".pth" and wanted(one.name):
                (folder / one.name).symlink_to(one)
        return folder

    return link


def numpy_alone(name):
    return name in ("numpy", "numpy.libs") or name.startswith("numpy-")


def python(packages, *arguments, cwd=ROOT, code=0):
    """What an interpreter prints that has these packages alone: -S, no ``.pth`` and no finders."""
    path = os.pathsep.join(map(str, packages))
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-W", "error", *arguments],
        env={**os.environ, "PYTHONPATH": path, "GPUOPT_BACKEND": ""},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_doctor_runs_from_a_checkout_with_numpy_alone(only):
    found = json.loads(python([only(numpy_alone)], "-m", "gpuopt", "doctor", "--json", "-"))
    assert found["gpuopt"] == gpuopt.__version__
    assert {name for name, version in found["packages"].items() if version} == {"numpy"}
    assert found["arrays"]["NumPy array"]["backend"] == "numpy"


def test_the_version_needs_nothing_installed(only):
    said = python([only(numpy_alone)], "-m", "gpuopt", "--version")
    assert said == f"gpuopt {gpuopt.__version__}\n"


def test_what_needs_typer_says_so_and_what_does_not(only):
    said = python([only(numpy_alone)], "-m", "gpuopt", "inspect", code=2)
    assert said == (
        "The gpuopt command needs typer: pip install 'gpuopt[inspect]' "
        "(doctor, verify, run and --version do without)\n"
    )


BENCHMARKS = ["benchmarks", "benchmarks.scaling", "benchmarks.state_dtype", "benchmarks.quality"]
TYPER = ("typer", "rich", "shellingham", "annotated_doc", "markdown_it", "mdurl", "pygments")
TYPER = (*TYPER, "pydantic", "pydantic_core", "annotated_types", "typing_inspection")


@pytest.mark.parametrize("module", BENCHMARKS)
def test_the_benchmarks_run_from_a_checkout_with_numpy_and_typer_alone(only, module):
    packages = only(lambda name: numpy_alone(name) or name in (*TYPER, "typing_extensions.py"))
    assert "Usage: python -m benchmarks" in python([packages], "-m", module, "--help")


@pytest.mark.parametrize("module", BENCHMARKS)
def test_the_benchmarks_without_typer_name_it(only, module):
    said = python([only(numpy_alone)], "-m", module, "--help", code=1)
    assert "the benchmarks need typer: pip install typer" in said.splitlines()[-1]


def test_the_tests_run_from_a_checkout(only):
    packages = only(lambda name: True)
    said = python(
        [packages],
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/rules/test_power.py"),
        *("-k", "unit_interval"),
    )
    assert " passed" in said


def test_the_checkout_can_be_used_from_anywhere(only, tmp_path):
    said = python([ROOT, only(numpy_alone)], "-c", WHERE, cwd=tmp_path)
    assert said.split() == [str(ROOT / "gpuopt/__init__.py"), str(ROOT / "kernels/table.py")]


def test_in_the_clone_python_takes_the_clone_whole_though_a_wheel_is_installed(
    only, wheel, tmp_path
):
    target = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    packages = [target, only(numpy_alone)]
    said = python(packages, "-c", WHERE)
    assert said.split() == [str(ROOT / "gpuopt/__init__.py"), str(ROOT / "kernels/table.py")]
    said = python(packages, "-c", WHERE, cwd=tmp_path)
    assert said.split() == [
        str(target / "gpuopt/__init__.py"),
        str(target / "gpuopt/kernels/table.py"),
    ]
    for cwd in (ROOT, tmp_path):
        assert python(packages, "-m", "gpuopt", "--version", cwd=cwd).startswith("gpuopt ")


def test_nothing_else_of_the_clone_becomes_a_part_of_the_package(only):
    code = """if True:
        import gpuopt, importlib.util, pkgutil
        print(*(m.name for m in pkgutil.iter_modules(gpuopt.__path__)))
        print(*(n for n in ("gpuopt", "tests", "benchmarks")
                if importlib.util.find_spec(f"gpuopt.{n}")))
    """
    names, wrong = python([only(numpy_alone)], "-c", code).split("\n")[:2]
    assert {"optimizers", "torch"} <= set(names.split())
    assert wrong == "" and not {"gpuopt", "tests", "benchmarks"} & set(names.split())
