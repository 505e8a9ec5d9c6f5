"""The stubs: up to date, of every optimizer, and what a type checker makes of a user's script."""

import sys
from pathlib import Path

import pytest

from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers import stubs

ROOT = Path(__file__).parents[1]


def test_the_stub_of_the_array_api_is_up_to_date():
    assert stubs.FILES["arrays"].read_text(encoding="utf-8") == stubs.stub("arrays"), "make stubs"


def test_the_stub_of_the_drop_ins_is_up_to_date():
    torch = pytest.importorskip("torch")
    if torch.__version__.partition("+")[0] != "2.13.0":
        pytest.skip("torch's arguments in the stub are those of 2.13.0")
    assert stubs.FILES["torch"].read_text(encoding="utf-8") == stubs.stub("torch"), "make stubs"


def test_the_table_of_the_optimizers_is_up_to_date():
    assert stubs.PAGE.read_text(encoding="utf-8") == stubs.page(), "make stubs"


SCRIPT = """
import gpuopt
import gpuopt.torch
import numpy as np
import torch

w = np.ones(3, np.float32)
p = torch.ones(3, requires_grad=True)
right = gpuopt.{name}([w], lr=0.5, clip_norm=1.0, state_dtype="bfloat16")
right.step([w])
also = gpuopt.torch.{name}([p], lr=torch.tensor(0.5), clip_norm=1.0, ema_decay=0.5)
also.step()
gpuopt.Optimizer([w], rule="adam", lr=0.5)
gpuopt.torch.Optimizer([p], rule="adam", lr=0.5)
gpuopt.{name}([w], lr="x")  # wrong
gpuopt.{name}([w], clipnorm=1.0)  # wrong
gpuopt.{name}([w], maximize=3)  # wrong
gpuopt.torch.{name}([p], lr="x")  # wrong
gpuopt.torch.{name}([p], clipnorm=1.0)  # wrong
gpuopt.torch.{name}([p], maximize="yes")  # wrong
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The lines of one script for each optimizer that mypy finds an error in."""
    api = pytest.importorskip("mypy.api")
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("types")
    installed = folder / "installed"
    installed.mkdir()
    for name in ("gpuopt", "kernels"):
        where = installed / "gpuopt" / "kernels" if name == "kernels" else installed / name
        copy_sources(ROOT / name, where)
    scripts = {name: folder / f"script_{name}.py" for name in DEFINITIONS}
    for name, script in scripts.items():
        script.write_text(SCRIPT.format(name=name), encoding="utf-8")
    config = folder / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = True\nmypy_path = {installed}\n", encoding="utf-8")
    options = ["--config-file", str(config), "--cache-dir", str(folder / "cache")]
    python = ["--python-executable", sys.executable, "--follow-imports", "silent"]
    found, broken, _ = api.run([*options, *python, *map(str, scripts.values())])
    assert not broken
    return {
        name: {int(line.split(":")[1]) for line in found.splitlines() if script.name in line}
        for name, script in scripts.items()
    }


def copy_sources(source, target):
    for file in source.rglob("*"):
        if file.suffix in (".py", ".pyi") or file.name == "py.typed":
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_type_checker_finds_wrong_arguments_and_nothing_else(checked, name):
    lines = SCRIPT.splitlines()
    wrong = {i for i, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert checked[name] == wrong, "are the stubs up to date? make stubs"
