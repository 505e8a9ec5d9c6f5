"""Each example runs, on the CPU, and does what it says; so does what its diff starts from."""

import ast
import importlib.util
import re
import sys

import pytest

from tests.helpers.examples import EXAMPLES, SCRIPTS, before, has_diff, numbers, run_example

NEEDS = {
    "accelerate_loop": ["torch", "accelerate"],
    "arrays": [],
    "benchmark_own_rule": ["llvmlite"],
    "fsdp2": ["torch"],
    "hf_trainer": ["torch", "accelerate", "transformers"],
    "lightning_module": ["torch", "pytorch_lightning"],
    "own_rule": ["torch", "llvmlite"],
    "torch_amp": ["torch"],
    "train_gpt": ["torch"],
}


def script_of(name):
    """The file of an example, if what it needs is installed."""
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return EXAMPLES / f"{name}.py"


def run(name, folder):
    return run_example(script_of(name), folder)


def assert_falls(losses, count, least):
    """There are as many losses as that, and the last is a small part of the first."""
    assert len(losses) == count
    assert losses[-1] < least * losses[0]


def test_the_scaled_loss_falls(tmp_path):
    lines = run("torch_amp", tmp_path)
    assert_falls(numbers(lines, "loss"), 5, 0.05)
    assert all(0.0 < norm < 1.0 for norm in numbers(lines, "gradient norm"))


def test_the_trainer_trains_with_ours(tmp_path):
    lines = run("hf_trainer", tmp_path)
    assert_falls(numbers(lines, "'loss"), 4, 0.1)
    assert not numbers(lines, "grad_norm")  # the step alone measures it
    assert lines[-1] in ("updated by llvm", "updated by numpy")


def test_lightnings_validation_loss_falls(tmp_path):
    assert_falls(numbers(run("lightning_module", tmp_path), "validation loss"), 4, 0.7)


def test_accelerate_resumes_with_the_same_bits(tmp_path):
    lines = run("accelerate_loop", tmp_path)
    assert_falls(numbers(lines, "loss")[:4], 4, 0.5)
    assert lines[2:4] == lines[4:6]
    assert lines[-1] == "resumed with the same bits: True"


def test_the_gpt_resumes_with_the_same_bits(tmp_path):
    whole, rest = run("train_gpt", tmp_path), run("train_gpt", tmp_path)
    assert_falls(numbers(whole, "validation loss"), 4, 0.6)
    assert_falls(numbers(whole, "averaged weights"), 4, 0.6)
    assert rest == ["resumed at step 100", *whole[2:]]
    assert re.fullmatch("weights [0-9a-f]{16}", whole[-1])


def test_shards_resume_with_the_same_bits(tmp_path):
    losses, resumed = run("fsdp2", tmp_path)
    assert losses.startswith("2 processes, cpu: loss ")
    assert_falls([float(loss) for loss in losses.split()[-3:]], 3, 0.4)
    assert resumed == "resumed with the same bits: True"


def test_arrays_are_trained(tmp_path):
    lines = run("arrays", tmp_path)
    assert_falls(numbers(lines, "loss"), 5, 0.05)
    assert lines[-1].endswith("over all data, numpy arrays")


def test_a_rule_of_ones_own_is_what_its_paper_says(tmp_path):
    lines = run("own_rule", tmp_path)
    assert_falls(numbers(lines, "loss"), 3, 0.05)
    (off,) = re.findall("^NumPy's backend is off by at most (.*)$", lines[-2])
    assert 0.0 < float(off) < 2e-6  # twenty steps in float32
    assert lines[-1] == "LLVM's has the same bits: True"


def test_a_rule_of_ones_own_is_timed_beside_others(tmp_path):
    lines = run("benchmark_own_rule", tmp_path)
    timed = [line.split("  ")[1] for line in lines if line.startswith("  ")]
    assert {"llvm", "numpy", "textbook NumPy"} <= set(timed)
    if importlib.util.find_spec("torch"):
        assert {"torch fused", "torch foreach"} <= set(timed)
    assert not [line for line in lines if "another formula" in line]


# --- all of them ----------------------------------------------------------------------------------

OF_ALL = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
OF_DIFFS = pytest.mark.parametrize(
    "script", [script for script in SCRIPTS if has_diff(script)], ids=lambda script: script.stem
)


def test_every_example_is_run():
    assert [script.stem for script in SCRIPTS] == sorted(NEEDS)


def test_all_but_the_benchmark_start_with_a_diff():
    assert [script.stem for script in SCRIPTS if not has_diff(script)] == ["benchmark_own_rule"]


@OF_ALL
def test_a_script_hides_no_package(script):
    """Python searches a script's folder first."""
    assert importlib.util.find_spec(script.stem) is None


@OF_ALL
def test_a_script_needs_what_it_is_said_to(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else names_of(node))
    }
    foreign = imported - sys.stdlib_module_names - {"gpuopt", "benchmarks", "numpy", "cupy"}
    assert foreign <= set(NEEDS[script.stem])


def names_of(node):
    return [alias.name for alias in node.names]


@OF_DIFFS
def test_a_diff_is_that_of_the_script(script):
    code = before(script)
    compile(code, script.name, "exec")
    if script.stem not in ("arrays", "own_rule"):
        assert "gpuopt" not in code


@pytest.mark.nightly
@OF_DIFFS
def test_what_a_diff_starts_from_trains_as_well(script, tmp_path):
    ours, losses = script_of(script.stem), []
    theirs = tmp_path / script.name
    theirs.write_text(before(script), encoding="utf-8")
    for each in (ours, theirs):
        folder = tmp_path / f"of-{len(losses)}"
        folder.mkdir()
        losses.append(numbers(run_example(each, folder), "loss"))
    assert len(losses[0]) == len(losses[1]) > 0
    if script.stem != "own_rule":  # which starts from another one
        assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_readme_has_a_line_for_each():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[(.*?)\]\((.*?)\) \|", text, re.MULTILINE)
    assert all(name == link for name, link in named)
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()}
    assert {name for name, _ in named} == files - {"README.md"}
    for name, needs in NEEDS.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| [{name}.py]")]
        packages = line.split("|")[3]
        assert all(package.replace("_", "-") in packages for package in needs), line
