"""What is installed, what an import costs, and that the project's files agree with each other."""

import doctest
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import gpuopt
from tests.helpers.project import GROUPS, PROJECT, requirements

ROOT = Path(__file__).parents[1]


def run_python(code, **environment):
    """What the code prints, run by a fresh interpreter away from the sources."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_wheel_holds_every_source_file(wheel):
    def files(folder, *patterns):
        return {
            file.relative_to(ROOT / folder).as_posix()
            for pattern in patterns
            for file in (ROOT / folder).rglob(pattern)
        }

    expected = {f"gpuopt/{name}" for name in files("gpuopt", "*.py", "*.pyi", "py.typed")}
    expected |= {f"gpuopt/kernels/{name}" for name in files("kernels", "*.py", "*.cuh")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert "gpuopt/py.typed" in names


def test_the_wheel_runs_outside_the_tree(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import gpuopt, gpuopt.kernels; print(gpuopt.__file__, gpuopt.kernels.__file__, sep=';')"
    for file in run_python(code, PYTHONPATH=str(tmp_path)).strip().split(";"):
        assert tmp_path in Path(file).parents


def test_importing_gpuopt_imports_nothing_but_numpy_and_the_standard_library():
    code = """if True:
        import sys, numpy
        before = set(sys.modules)
        import gpuopt
        roots = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*(roots - sys.stdlib_module_names))
    """
    assert set(run_python(code).split()) <= {"gpuopt", "numpy"}


def test_importing_gpuopt_makes_fewer_calls_than_importing_numpy():
    # Calls, not seconds: a busy machine and missing bytecode do not change them.
    code = """if True:
        import sys
        calls = 0
        def count(frame, event, argument):
            global calls
            calls += event in ("call", "c_call")
        sys.setprofile(count)
        import numpy
        numpy_calls = calls
        import gpuopt
        sys.setprofile(None)
        print(numpy_calls, calls - numpy_calls)
    """
    numpy_calls, gpuopt_calls = map(int, run_python(code).split())
    assert 0 < gpuopt_calls < numpy_calls


def test_the_version_is_that_of_the_package():
    assert gpuopt.__version__ == PROJECT["project"]["version"]


def test_the_torch_extra_brings_all_that_a_drop_in_and_the_command_line_use():
    extra = PROJECT["project"]["optional-dependencies"]["torch"]
    names = {Requirement(text).name for text in extra}
    assert names == {"torch", "llvmlite", "safetensors", "typer"}


def test_a_library_has_one_lower_bound_for_users_and_developers():
    """The oldest is tested (tests/test_workflows.py), and `make test` takes no older one."""
    bounds = {}
    extras = PROJECT["project"]["optional-dependencies"].values()
    for text in (*(one for extra in extras for one in extra), *requirements("dev")):
        requirement = Requirement(text)
        bounds.setdefault(requirement.name, set()).add(str(requirement.specifier))
    pinned = {"torch"}  # to one release, in the tests
    several = {name for name, found in bounds.items() if len(found) > 1}
    assert several == pinned


def test_the_drop_ins_without_torch_say_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gpuopt.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("gpuopt.torch")
    assert str(caught.value).startswith("gpuopt.torch needs torch: pip install 'gpuopt[torch]' (")
    assert caught.value.name == "torch"


def test_pre_commit_runs_the_ruff_of_make_lint():
    def pins(file):
        return set(re.findall(r"\bruff==([\d.]+)", (ROOT / file).read_text()))

    assert len(pins("pyproject.toml")) == 1
    assert pins("pyproject.toml") == pins(".pre-commit-config.yaml")


def test_make_interpret_old_takes_the_oldest_triton_that_gpuopt_takes():
    lowest = set(re.findall(r"\btriton>=([\d.]+)", (ROOT / "pyproject.toml").read_text()))
    (taken,) = re.findall(r"^OLD_TRITON := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {Version(version) for version in lowest} == {Version(taken)}


def test_every_group_and_extra_that_is_installed_by_name_is_there():
    files = [ROOT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md", "pyproject.toml")]
    files += [*(ROOT / ".github/workflows").glob("*.yml"), ROOT / "examples/gpu_runner.yml"]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    groups = set(re.findall(r"--group (\w+)", text))
    assert {"test", "interpret", "dev", "package"} <= groups <= set(GROUPS)
    lists = re.findall(r"(?:gpuopt|\.|whl\))\[([\w,]+)\]", text)
    extras = {extra for listed in lists for extra in listed.split(",")}
    known = set(PROJECT["project"]["optional-dependencies"])
    assert {"demo", "cpu", "torch", "triton"} <= extras <= known


def test_make_installs_a_pip_that_knows_groups_before_it_installs_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (wanted,) = re.findall(r"^NEW_PIP := '(.*)'$", makefile, re.MULTILINE)
    assert not Requirement(wanted).specifier.contains("25.0.1")
    recipes = [recipe for recipe in makefile.split("\n\n") if "--group" in recipe]
    assert len(recipes) == 3
    assert all(recipe.index("$(NEW_PIP)") < recipe.index("--group") for recipe in recipes)


@pytest.mark.skipif("CI" not in os.environ, reason="only CI must have the whole group")
def test_ci_skips_nothing_for_want_of_a_library():
    for line in (*PROJECT["project"]["dependencies"], *requirements("test")):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            assert importlib.metadata.version(requirement.name) in requirement.specifier, line


def test_the_optimizer_in_the_contributors_guide_is_all_that_is_written():
    from gpuopt.optimizers.constructors import class_of
    from gpuopt.rules.definitions import DEFINITIONS
    from gpuopt.rules.registry import RULES, check

    guide = (ROOT / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    try:
        exec(code, {"__name__": "gpuopt.rules.heavy_ball", "__package__": "gpuopt.rules"})
        check(RULES["heavy_ball"])
        made = class_of(gpuopt.Optimizer, DEFINITIONS["HeavyBall"], __name__)
        example = doctest.DocTestParser().get_doctest(
            made.__doc__, {"HeavyBall": made}, "HeavyBall", None, None
        )
        assert doctest.DocTestRunner().run(example).failed == 0
    finally:
        RULES.pop("heavy_ball", None)
        DEFINITIONS.pop("HeavyBall", None)


def test_importing_gpuopt_traces_no_rule():
    code = """if True:
        import sys
        called = set()
        sys.setprofile(lambda frame, event, _: called.add(frame.f_code))
        import gpuopt
        sys.setprofile(None)
        names = {code.co_name for code in called if "gpuopt" in code.co_filename}
        names |= {code.co_name for code in called if "kernels" in code.co_filename}
        print("add_rule" in names, "trace" in names, "follow" in names)
    """
    assert run_python(code).split() == ["True", "False", "False"]


def test_dir_shows_public_names_alone():
    assert dir(gpuopt) == sorted([*gpuopt.__all__, "__version__"])
    assert not [name for name in gpuopt.__all__ if name.startswith("_")]
    assert all(hasattr(gpuopt, name) for name in gpuopt.__all__)
