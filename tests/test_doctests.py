"""Every example in a docstring runs.

`pytest --doctest-modules` would import kernels/ a second time, as a package of its own beside
gpuopt.kernels; walking the installed package finds each module once, under its real name.
"""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import gpuopt

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules():
    kernels = importlib.import_module("gpuopt.kernels")
    found = {
        module.name
        for package in (gpuopt, kernels)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    }
    return sorted((found | {"gpuopt", "gpuopt.kernels"}) - {"gpuopt.__main__"})


@pytest.mark.parametrize("name", modules())
def test_the_examples_of(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("gpuopt"):
            raise
        pytest.skip(f"{error.name} is not installed")
    assert doctest.testmod(module, optionflags=FLAGS).failed == 0


def test_the_examples_of_the_page_on_formats():
    before = dict(gpuopt.FORMATS)
    page = Path(__file__).parents[1] / "docs" / "formats.md"
    try:
        found = doctest.testfile(
            str(page), module_relative=False, optionflags=FLAGS, encoding="utf-8"
        )
    finally:
        for name in gpuopt.FORMATS.keys() - before.keys():
            del gpuopt.FORMATS[name]
    assert found.attempted > 5
    assert found.failed == 0
