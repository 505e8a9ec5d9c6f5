"""No command imports from the folder in which it is called."""

import ast
import os
import subprocess
import sys

import pytest

from gpuopt.system.search_path import module_command
from tests.helpers.scripts import ROOT

SHADOWED = ("json", "numpy", "triton", "cupy", "torch", "argparse", "typing", "runpy", "typer")


@pytest.fixture
def hostile(tmp_path):
    """A folder of modules that tell when they are imported."""
    for name in SHADOWED:
        said = f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + '\\n')\n"
        (tmp_path / f"{name}.py").write_text(said + "raise ImportError('from the folder')\n")
    return tmp_path


def run(folder, *arguments, python=(), **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "GPUOPT_BACKEND": "numpy", **environment}
    done = subprocess.run(
        [sys.executable, *python, *arguments],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    imported = folder / "imported"
    assert not imported.exists(), f"{imported.read_text()}{done.stderr}"
    assert done.returncode == 0, done.stderr
    return done.stdout


RUNPY = () if sys.version_info >= (3, 11) else ("frozen in 3.11",)
"""Before 3.11, Python itself imports runpy from the folder, before anything of gpuopt runs."""


@pytest.mark.parametrize("spelt", [("-m", "gpuopt"), ("-mgpuopt",), ("-W", "error", "-Bmgpuopt")])
@pytest.mark.parametrize("command", [["doctor"], ["--version"], ["inspect", "--help"]])
def test_python_m(hostile, spelt, command):
    if RUNPY:
        (hostile / "runpy.py").unlink()
    if "--help" in command:
        pytest.importorskip("typer")
    assert "gpuopt" in run(hostile, *spelt, *command)


def test_the_compilers_of_inspect(hostile, tmp_path):
    """A kernel is compiled anew, in a process of its own."""
    pytest.importorskip("triton")
    pytest.importorskip("typer")
    code = "import gpuopt.cli; gpuopt.cli.main()"  # as the installed command; -c is not
    script = tmp_path / "bin" / "gpuopt"
    script.parent.mkdir()
    script.write_text(code)
    arguments = ("inspect", "--backend", "triton", "--rule", "gradient_descent", "--json", "-")
    said = run(hostile, str(script), *arguments, GPUOPT_CACHE_DIR=str(tmp_path / "cache"))
    assert '"gradient_descent"' in said


def test_what_is_run_anew_searches_no_folder_that_the_path_does_not_name(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", os.curdir, *sys.path])
    code = module_command("gpuopt.inspection.worker")[-1]
    path = ast.literal_eval(code.partition("sys.path[:] = ")[2].partition(";")[0])
    assert not {"", os.curdir} & set(path)
    assert set(sys.path) - {"", os.curdir} <= set(path)


def test_warm(hostile, tmp_path):
    pytest.importorskip("triton")
    pytest.importorskip("typer")
    options = ("--rule", "gradient_descent", "--arch", "sm_90", "--backend", "triton")
    said = run(hostile, "-m", "gpuopt", "warm", *options, TRITON_CACHE_DIR=str(tmp_path / "cache"))
    assert "gradient_descent" in said


def test_a_program_of_somebody_else_keeps_its_folder(tmp_path):
    """It imports gpuopt, by -m or not, and a module beside itself."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("import gpuopt, beside\nprint(beside.VALUE)")
    (tmp_path / "mine" / "__main__.py").touch()
    (tmp_path / "beside.py").write_text("VALUE = 'found'")
    for arguments in (("-m", "mine"), ("-c", "import mine"), ("-m", "mine", "gpuopt")):
        assert run(tmp_path, *arguments) == "found\n"


def test_a_checkout_is_found_where_it_is_called():
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [sys.executable, "-m", "gpuopt", "--version"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("gpuopt ")
