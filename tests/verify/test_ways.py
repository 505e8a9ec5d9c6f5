"""The checks themselves: on NumPy, where nothing can differ, and on simulated devices."""

from dataclasses import fields, replace

import pytest

import gpuopt
from gpuopt.arrays import FLOATS
from gpuopt.engine.stats import TensorStats
from gpuopt.engine.tail import Tail
from gpuopt.rules.registry import RULES
from gpuopt.verify import checks, steps, ways
from gpuopt.verify.checks import EVERYWHERE, OF_TORCH_ON_DEVICE, ON_DEVICE, TAIL, Check, checks_for

pytest.importorskip("ml_dtypes")

WHOLE = ("clip_norm", "skip", "ema", "stats")

FULL = checks_for("llvm", "numpy", True, 0)


# --- what is checked ------------------------------------------------------------------------


def test_every_rule_in_every_dtype_and_with_a_tail():
    rules = [check for check in FULL if check.kind == "rule"]
    plain = {(c.subject, c.dtype) for c in rules if not c.tail and not c.layout}
    assert plain == {(rule, dtype) for rule in RULES for dtype in FLOATS}
    assert {c.subject for c in rules if "+" in c.tail} == RULES.keys()


def test_every_option_of_a_tail():
    given = {option for check in FULL for option in check.options}
    some = {"cautious", "cautious_weight_decay", "decouple_lr"}  # not for every rule
    known = {field.name for field in fields(Tail)} - {"error_if_nonfinite"} - some
    assert given >= known | {"state_dtype", "weight_decay", "maximize", "scale"}


def test_every_two_options_meet():
    met = [set(check.tail.split("+")) for check in FULL]
    names = [(i, name) for i, group in enumerate(TAIL.values()) for name in group if name]
    for i, one in names:
        for j, other in names:
            assert i == j or any({one, other} <= tail for tail in met), (one, other)


def test_a_tail_has_an_effect_on_its_dtype():
    for check in FULL:
        if {"master", "kahan", "rounding"} & set(check.tail.split("+")):
            assert check.dtype in ("float16", "bfloat16")
        if "rounding" in check.tail:
            assert check.dtype == "bfloat16"


@pytest.mark.parametrize("devices", [0, 1, 2])
@pytest.mark.parametrize(("backend", "library"), checks.TARGETS)
def test_checks_have_names_of_their_own_and_a_way_to_step(backend, library, devices):
    found = [c for full in (True, False) for c in checks_for(backend, library, full, devices)]
    assert len({check.name for check in found}) == len(set(found))
    assert {check.kind for check in found} <= ways.WAYS.keys()
    assert any(check.kind == "devices" for check in found) == (devices == 2)
    assert [Check(**check.to_json()) for check in found] == found


def test_without_ml_dtypes_no_check_asks_for_bfloat16(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = checks_for("llvm", "numpy", True, 0)
    assert found
    assert not [c for c in found if "bfloat16" in (c.dtype, c.options.get("state_dtype"))]


# --- on NumPy -------------------------------------------------------------------------------


@pytest.mark.parametrize("check", FULL, ids=lambda check: check.name)
def test_numpy_has_the_bits_of_numpy(small, check):
    assert ways.run(replace(check, backend="numpy")) == []


@pytest.mark.parametrize("kind", ["drop-in", "scaler"])
def test_drop_ins_by_numpy(small, kind):
    pytest.importorskip("torch")
    assert ways.run(Check("numpy", "torch", kind, "Adam")) == []


def test_everything_that_a_step_leaves_is_compared(small):
    check = Check("numpy", "numpy", "rule", "adam", "bfloat16", f"{'+'.join(WHOLE)}+master")
    with gpuopt.use_backend("numpy"):
        outcome = steps.trained(check, steps.sides_of(check)[0])
    states = {f"{name} of param 3" for name in ("step", "exp_avg", "exp_avg_sq", "ema", "master")}
    stats = {f"{name} of param 3" for name in TensorStats._fields}
    own = {"param 3", "gradient 3", "grad_norm", "skipped_steps"}
    assert states | stats | own <= outcome.keys()
    for name in outcome:
        without = {other: one for other, one in outcome.items() if other != name}
        assert [one["what"] for one in ways.differences(without, outcome)] == [f"{name} is missing"]


def test_a_skipped_step_is_one(small):
    check = Check("numpy", "numpy", "rule", tail="skip")
    with gpuopt.use_backend("numpy"):
        outcome = steps.trained(check, steps.sides_of(check)[0])
    assert outcome["skipped_steps"].values.tolist() == [1]
    assert outcome["step of param 3"].values.tolist() == [2]


# --- on simulated devices -------------------------------------------------------------------

KINDS = dict.fromkeys((*ON_DEVICE, *OF_TORCH_ON_DEVICE, *EVERYWHERE))


@pytest.mark.parametrize(("kind", "tail"), KINDS)
def test_a_device_has_the_bits_of_numpy(request, device, kind, tail):
    backend, made = device
    if kind == "threads" and request.config.way == "interpret":
        pytest.skip("Triton's interpreter cannot run in several threads")
    assert ways.run(Check(backend, "torch", kind, tail=tail)) == []
    assert made.streams == {"streams": 3, "graph": 1}.get(kind, 0)
    assert made.strict == (kind == "no waiting")


@pytest.mark.parametrize("layout", ["misaligned", "gaps"])
def test_layouts_on_a_device(device, layout):
    backend, _ = device
    assert ways.run(Check(backend, "torch", "rule", layout=layout)) == []


def test_a_graph_that_ignores_the_lr_on_the_device_is_noticed(device, monkeypatch):
    backend, _ = device
    monkeypatch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
    wrong = {one["what"] for one in ways.run(Check(backend, "torch", "graph"))}
    assert {"param 3", "param 6"} <= wrong


def test_a_graph_that_replays_nothing_is_noticed(device):
    backend, made = device
    made.capture = lambda step: lambda: None
    wrong = {one["what"] for one in ways.run(Check(backend, "torch", "graph"))}
    assert {"param 3", "step of param 3"} <= wrong
