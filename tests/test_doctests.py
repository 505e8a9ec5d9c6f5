"""Every example in a docstring runs.

`pytest --doctest-modules` would import kernels/ a second time, as a package of its own beside
gpuopt.kernels; walking the installed package finds each module once, under its real name.
"""

import doctest
import importlib
import pkgutil

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
