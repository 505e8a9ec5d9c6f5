"""What holds for all tests."""

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

try:
    from hypothesis import settings
except ImportError:  # the tests that need it are skipped
    settings = None

pytest.register_assert_rewrite("tests.helpers", "tests.tolerances")

# No deadline: a first call may compile a kernel. In CI the same examples every time.
if settings is not None:
    settings.register_profile("gpuopt", deadline=None, derandomize="CI" in os.environ)
    settings.load_profile("gpuopt")


ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_forced():
    """A test begins without a forced backend, and leaves none behind."""
    from gpuopt.engine import dispatch

    dispatch._forced.clear()
    yield
    dispatch._forced.clear()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, as `pip install .` builds it."""
    copy = tmp_path_factory.mktemp("sources")
    for folder in ("gpuopt", "kernels"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target, copy),
        ],
        check=True,
    )
    (file,) = target.glob("*.whl")
    return file


def pytest_addoption(parser):
    default = "interpret" if os.environ.get("TRITON_INTERPRET") == "1" else "sim"
    how = (
        "how the CUDA backends run: interpret, sim or gpu, or several; see tests/helpers/targets.py"
    )
    parser.addoption("--cuda", default=default, metavar="HOW", help=how)
    every = "all tests: also those marked nightly, and whole grids instead of pairs of values"
    parser.addoption("--all", action="store_true", help=every)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Where several ways are asked for, run pytest for each; the worst result counts."""
    ways, given = _ways(config), config.invocation_params
    if len(ways) == 1:
        return None
    codes = []
    for way in ways:
        print(f"== --cuda {way}", flush=True)
        command = [sys.executable, "-m", "pytest", *given.args, "--cuda", way]
        codes.append(subprocess.run(command, cwd=given.dir, check=False).returncode)
    return max(codes)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leave out what only `make test-all` runs, unless a test is asked for by its whole name.

    On a GPU, too, where all grids would take longer than a stage may.
    """
    from tests.helpers.pairwise import thinned

    named = any("[" in argument for argument in config.args)
    if config.getoption("--all") or config.way == "interpret" or named:
        return
    kept = thinned([item for item in items if not item.get_closest_marker("nightly")])
    staying = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in staying])
    items[:] = kept


def pytest_collection_finish(session):
    """Leave the tests themselves, a million objects, out of every garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # extensions report what is left at the exit


def pytest_configure(config):
    from tests.helpers.targets import prepare

    (config.way,) = _ways(config)
    prepare(config.way)


def _ways(config):
    from tests.helpers.targets import ways_of

    try:
        return ways_of(config.getoption("--cuda"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
