import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from gpuopt.kernels.cuda import source as cuda_c

from gpuopt.cli import application
from gpuopt.inspection import backends, checks
from gpuopt.inspection.cases import ARCHS, DTYPES, VARIANTS, has_variant
from gpuopt.inspection.command import Request, cases_of, inspect
from gpuopt.inspection.ptx import parse
from gpuopt.rules import power, real_power
from gpuopt.rules.registry import RULES

SGD = Request(rules=("gradient_descent",), archs=("90",))


needs_triton = pytest.mark.skipif(not find_spec("triton"), reason="needs Triton")


def request(**options):
    return Request(**{**vars(SGD), **options})


# --- options ------------------------------------------------------------------------------------


def test_without_options_adam_for_one_architecture():
    (case,) = cases_of(Request())
    assert (case.rule, case.dtypes, case.arch) == ("adam", ("float32",) * 3, 90)


def test_all_of_everything():
    cases = cases_of(Request(("all",), ("all",), ("all",), ("all",)))
    variants = sum(has_variant(rule, variant) for rule in RULES.values() for variant in VARIANTS)
    assert len(cases) == variants * len(DTYPES) * len(ARCHS)


def test_a_variant_is_of_the_rules_that_have_it():
    asked = Request(("all",), archs=("90",), variants=("eval", "update_hessian", "advance"))
    found = {(case.rule, case.variant, case.kernel) for case in cases_of(asked)}
    averaging = {f"{name}_schedule_free" for name in ("sgd", "adamw", "radam")}
    assert {rule for rule, variant, _ in found if variant == "eval"} == averaging
    assert {rule for rule, variant, _ in found if variant == "update_hessian"} == {"sophiag"}
    sharing = {name for name, rule in RULES.items() if rule.shared}
    assert {rule for rule, _, kernel in found if kernel == "coefficients"} == sharing


def test_names_with_commas_in_one_or_several_options():
    cases = cases_of(Request(("adam, amsgrad", "adagrad"), archs=("80,sm_90",)))
    assert {case.rule for case in cases} == {"adam", "amsgrad", "adagrad"}
    assert {case.arch for case in cases} == {80, 90}


def test_a_family_stands_for_its_rules():
    cases = cases_of(Request(("family:rmsprop, adam",), archs=("90",)))
    rules = [name for name, rule in RULES.items() if "square_avg" in rule.states]
    assert [case.rule for case in cases] == [*rules, "adam"]


def test_dtypes_of_each_list():
    (case,) = cases_of(Request(dtypes=("float32:bfloat16:float16",)))
    assert case.list_dtypes == ("float32", "bfloat16", "float16", "float16")
    assert case.floor == 2 * 4 + 2 + 2 * 2 * 2


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("bf16", "bfloat16"),
        ("fp16", "float16"),
        ("fp32", "float32"),
        ("fp64", "float64"),
        ("fp32:bf16:float32", "float32:bfloat16:float32"),
    ],
)
def test_short_names_of_dtypes_stand_for_the_long_ones(short, long):
    (one,), (other,) = (cases_of(Request(dtypes=(name,))) for name in (short, long))
    assert one == other
    assert cases_of(Request(dtypes=(f"{short},{long}",))) == [one]


@pytest.mark.parametrize("command", ["inspect", "warm"])
def test_both_commands_take_both_spellings(command, capsys, monkeypatch):
    pytest.importorskip("typer")
    asked = []
    compile_cases = "gpuopt.inspection.command.compile_cases"
    monkeypatch.setattr(compile_cases, lambda cases, _: asked.extend(cases) or [])
    monkeypatch.setattr("gpuopt.inspection.warm._WARMERS", {"triton": asked.append})
    monkeypatch.setattr("gpuopt.inspection.warm._check_installed", lambda name: None)
    monkeypatch.setattr("gpuopt.inspection.backends.Compiler.version", lambda self: "1")
    for dtype, arch in (("bf16", "sm_90"), ("bfloat16", "90")):
        with pytest.raises(SystemExit):
            application()([command, "--rule", "adam", "--dtype", dtype, "--arch", arch])
    first, second = asked
    assert first == second
    assert first.label == "triton.adam.plain.bfloat16.sm_90"


def test_adamw_is_inspected_with_its_decay():
    (case,) = cases_of(Request(rules=("adamw",)))
    assert case.variant == "decay"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": ("adem",)}, "--rule: got 'adem', expected one of adadelta"),
        ({"rules": ("family:eve",)}, "--rule: got 'family:eve', expected one of adadelta"),
        ({"archs": ("88",)}, "--arch: got '88', expected one of sm_75, sm_80"),
        ({"archs": ("hopper",)}, "--arch: got 'hopper'"),
        ({"archs": ("sm_sm_90",)}, "--arch: got 'sm_sm_90', expected one of sm_75"),
        ({"archs": ("9_0",)}, "--arch: got '9_0', expected one of sm_75"),
        ({"dtypes": ("int8",)}, "--dtype: got 'int8', expected one of float64"),
        ({"dtypes": ("bf15",)}, "--dtype: got 'bf15', expected one of float64"),
        ({"dtypes": ("float32:float32",)}, "--dtype: got 'float32:float32'"),
        ({"variants": ("fast",)}, "--variant: got 'fast', expected one of plain"),
        (
            {"rules": ("adam", "lamb"), "variants": ("train", "advance")},
            "--variant: got train, advance, which none of these rules has: adam, lamb",
        ),
        ({"backends": ("llvm",)}, "--backend: got 'llvm', expected one of triton"),
        ({"rules": (",",)}, "--rule: no name in ','"),
        (
            {"source": "adam", "check": True, "rules": ("sgd",)},
            "--source only prints code",
        ),
        ({"source": "adem"}, "--source: got 'adem', expected one of adadelta"),
        ({"json": Path("/nowhere/facts.json")}, "--json: cannot write /nowhere/facts.json: No"),
    ],
)
def test_options_that_make_no_sense(options, message, capsys):
    assert inspect(Request(**options)) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"gpuopt inspect: {message}")


def test_a_dump_into_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert inspect(Request(dump=tmp_path / "file")) == 2
    assert "--dump: cannot write" in capsys.readouterr().err


def test_without_triton_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(backends.Compiler, "version", lambda self: None)
    assert inspect(Request()) == 2
    assert "triton is not installed: pip install 'gpuopt[triton]'" in capsys.readouterr().err


# --- reports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_the_tables(compiled, capsys, backend):
    compiled(rule="gradient_descent", backend=backend)
    assert inspect(request(backends=(backend,))) == 0
    out, err = capsys.readouterr()
    assert not err
    row = next(line.split() for line in out.splitlines() if "sm_90" in line)
    assert row[:8] == [backend, "gradient_descent", "plain", "float32", "sm_90", "12", "12", "16"]
    assert "H200" in out
    assert "Launches per step: 2" in out


def test_json_on_standard_output_stands_alone(compiled, capsys):
    assert inspect(request(json=Path("-"))) == 0
    found = json.loads(capsys.readouterr().out)
    (kernel,) = found["kernels"]
    assert kernel["floor"] == kernel["main"]["loaded"] + kernel["main"]["stored"] == 12
    assert kernel["launches_per_step"] == 2
    assert {one["gpu"] for one in kernel["predictions"]} == {"H100", "H200"}
    assert all(gpu["source"] for gpu in found["gpus"])


def test_json_in_a_file_beside_the_tables(compiled, capsys, tmp_path):
    assert inspect(request(json=tmp_path / "facts.json")) == 0
    assert "gradient_descent" in capsys.readouterr().out
    assert json.loads((tmp_path / "facts.json").read_text())["compilers"]["triton"]


def test_on_a_narrow_terminal_columns_go_before_names_are_cut(compiled, capsys, monkeypatch):
    pytest.importorskip("rich")
    compiled(rule="gradient_descent")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in (("COLUMNS", "60"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    assert inspect(SGD) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    tables = out.partition("Launches per step")[0]
    assert max(map(len, tables.splitlines())) <= 60
    assert "…" not in out
    assert "gradient_descent" in out and "limited by" in out
    assert "No room for: " in out and "--json has all of it." in " ".join(out.split())


@needs_triton
def test_the_command_in_a_pipe():
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "gpuopt", "inspect", "--check"),
            *("--rule", "gradient_descent", "--arch", "90", "--dtype", "float32"),
        ],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n1 kernels checked, 0 failures" in done.stdout


# --- the gate -----------------------------------------------------------------------------------


@needs_triton
def test_the_gate_says_what_failed(monkeypatch, capsys):
    limits = {("gradient_descent", "plain", "float32"): {"triton": 2}}
    monkeypatch.setattr(checks, "INSTRUCTIONS", limits)
    assert inspect(request(check=True, dtypes=("float32",))) == 1
    out = capsys.readouterr().out
    assert "FAILED triton.gradient_descent.plain.float32.sm_90: instructions: 3." in out
    assert "1 kernels checked, 1 failures" in out
    assert inspect(request(check=True, dtypes=("float32",), json=Path("-"))) == 1


@needs_triton
def test_the_gate_says_what_limits_each_gpu(capsys):
    assert inspect(request(check=True, dtypes=("float32",))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "H100: limited by memory, 1 kernels" in lines
    assert "H200: limited by memory, 1 kernels" in lines


def test_exemptions_are_named_with_their_reason(compiled, capsys):
    options = {"variants": ("misaligned",), "dtypes": ("float32",)}
    assert inspect(request(check=True, **options)) == 0
    assert "exempt, width, 1 times: misaligned arrays" in capsys.readouterr().out


@needs_triton
def test_a_kernel_that_does_not_compile_fails(empty_cache, monkeypatch, capsys):
    from gpuopt.inspection import compile

    monkeypatch.setattr(compile, "WORKER", (sys.executable, "-c", "raise SystemExit('broken')"))
    assert inspect(SGD) == 1
    assert "broken" in capsys.readouterr().out
    assert inspect(request(check=True, dtypes=("float32",))) == 1
    assert "FAILED triton.gradient_descent.plain.float32.sm_90" in capsys.readouterr().out


# --- dumps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_a_dump_holds_all_that_a_launch_needs(compiled, tmp_path, backend):
    compiled(backend=backend)  # or skip
    asked = Request(dtypes=("bfloat16",), dump=tmp_path / "kernels", backends=(backend,))
    assert inspect(asked) == 0
    folder = tmp_path / "kernels"
    manifest = json.loads((folder / "manifest.json").read_text())
    update, coefficients = manifest["kernels"]
    assert update["coefficients_kernel"] == coefficients["name"]
    for kernel in (update, coefficients):
        entry = parse((folder / kernel["ptx"]).read_text())
        assert kernel["entry"] == entry.name
        assert kernel["threads"] == entry.threads
        in_ptx = {"u32": ("int",), "u64": ("*", "long long")}
        assert len(kernel["arguments"]) == len(entry.parameters)
        for argument, kind in zip(kernel["arguments"], entry.parameters):
            assert argument["type"].endswith(in_ptx[kind])
        assert "exp_avg_sq" in (folder / kernel["source"]).read_text()
        assert (folder / kernel["cubin"]).read_bytes().startswith(b"\x7fELF")
    assert update["chunk"] == 8192
    assert [(one["name"], one["dtype"], one["written"]) for one in update["lists"]] == [
        ("params", "bfloat16", True),
        ("grads", "bfloat16", False),
        ("exp_avg", "float32", True),
        ("exp_avg_sq", "float32", True),
    ]
    assert coefficients["options"] == ["lr", "beta1", "beta2", "eps"]
    assert update["coefficients"] == coefficients["coefficients"]


# --- source -------------------------------------------------------------------------------------


def source_of(capsys, **options):
    assert inspect(Request(**options)) == 0
    return capsys.readouterr().out


def test_the_cuda_c_that_is_compiled(capsys):
    shown = source_of(capsys, source="adam", backends=("cupy",), dtypes=("bfloat16",))
    (case,) = cases_of(Request(backends=("cupy",), dtypes=("bfloat16",)))
    assert shown == cuda_c.source(case.update, case.list_dtypes, True)
    assert "new_exp_avg / (sqrt(new_exp_avg_sq)" in shown


SHOWN = [
    *((rule, "scale_decay") for rule in RULES),
    *(("adamw_schedule_free", variant) for variant in ("train", "eval")),
    ("sophiag", "update_hessian_scale"),
]


@pytest.mark.parametrize("rule, variant", SHOWN)
def test_the_rule_that_triton_compiles(capsys, rule, variant):
    """The text that is shown, run with NumPy, is the update."""
    shown = source_of(capsys, source=rule, variants=(variant,))
    (case,) = cases_of(Request(rules=(rule,), variants=(variant,)))
    update = case.update
    names = {"np": np, "power": power, "real_power": real_power}
    exec(shown, names)
    numbers = np.linspace(0.25, 0.75, len(update.read) + len(update.coefficient_names))
    assert names[update.name](*numbers) == update.function(*numbers)
    options = dict.fromkeys(update.option_names, 0.5)
    carried = dict.fromkeys(update.carried_names, 0.25)
    expected = update.coefficients(3, options, list(carried.values()))
    assert names["coefficients"](3, **carried, **options) == expected


def test_source_of_all_backends_needs_no_compiler(capsys, monkeypatch):
    monkeypatch.setattr(backends.Compiler, "version", lambda self: None)
    shown = source_of(capsys, source="gradient_descent", backends=("all",))
    assert "def gradient_descent(" in shown
    assert "void update_gradient_descent(" in shown


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_source_of_the_parts_of_steps(capsys, backend):
    parts = ("sums", "totals_of_all", "norm_total", "advance")
    shown = source_of(capsys, source="prodigy", variants=parts, backends=(backend,))
    assert "growth_rate" in shown if backend == "triton" else "void coefficients_of_" in shown
    assert "multi_tensor_sums" in shown and "multi_tensor_total" in shown


def test_the_help_names_every_variant():
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "gpuopt", "inspect", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [name for name in VARIANTS if name not in said] == []
