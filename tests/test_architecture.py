"""Imports run one way, from the command line down to the kernels, and few modules lie flat."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    {"kernels.numpy", "kernels.llvm", "kernels.triton", "kernels.cuda"},
    {"rules", "arrays"},
    {"engine"},
    {"optimizers"},
    {"torch"},
    {"inspection", "demo", "verify"},
)
"""The wings above `kernels.trace`, from the bottom up; those of a floor stand alone."""
ORDER = ["system", "messages", "kernels", "kernels.trace"]
FLOOR = {wing: i + len(ORDER) for i, floor in enumerate(FLOORS) for wing in floor}
FLOOR |= {wing: i for i, wing in enumerate(ORDER)}
FLAT = {"__init__", "__main__", "checkout", "cli", "command", "doctor", "errors", "variables"}


def modules(*folders):
    """Each module by its full name, and its file."""
    found = {}
    for folder in folders or ("gpuopt", "kernels"):
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            found[f"gpuopt.{name}" if folder == "kernels" else name] = file
    return found


def wing(name):
    """The wing of a module; None for those at the top."""
    _, *parts = name.split(".")
    if parts[:1] == ["kernels"]:
        return ".".join(parts[:2]) if ".".join(parts[:2]) in FLOOR else "kernels"
    return parts[0] if parts and parts[0] in FLOOR else None


def imported(name, file):
    """The modules of gpuopt that a module imports, wherever it does."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{whole}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("name", modules())
def test_imports_run_down(name):
    own = wing(name)
    if own is None:
        return
    for other in imported(name, modules()[name]):
        theirs = wing(other) if other.startswith("gpuopt.") else None
        assert theirs in (None, own) or FLOOR[theirs] < FLOOR[own], f"{name} imports {other}"


@pytest.mark.parametrize("folder", ["benchmarks", "gpuopt", "kernels", "tests"])
def test_no_circular_imports(folder):
    own = modules(folder)
    graph = {}
    for name, file in own.items():
        names = {o if o in own else o.rpartition(".")[0] for o in imported(name, file)}
        graph[name] = names & own.keys() - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_the_top_is_small():
    assert {file.stem for file in (ROOT / "gpuopt").glob("*.py")} == FLAT


def test_every_folder_is_a_wing():
    folders = {f.name for f in (ROOT / "gpuopt").iterdir() if (f / "__init__.py").exists()}
    folders |= {f"kernels.{f.name}" for f in (ROOT / "kernels").iterdir() if f.is_dir()}
    assert {f for f in folders if "__pycache__" not in f} == FLOOR.keys() - {"kernels"}
