"""The checks themselves: on NumPy, where nothing can differ, and on simulated devices."""

from dataclasses import fields, replace

import numpy as np
import pytest
from gpuopt.kernels.device_table import DeviceTable
from gpuopt.kernels.device_totals import DeviceTotals

import gpuopt
from gpuopt.arrays import FLOATS
from gpuopt.engine.stats import TensorStats
from gpuopt.engine.tail import Tail
from gpuopt.rules.registry import RULES
from gpuopt.verify import checks, steps, ways
from gpuopt.verify.checks import TAIL, TO_A_DEVICE, Check, adds, checks_for

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
    known = {field.name for field in fields(Tail)} - {"error_if_nonfinite"}
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


def test_rules_that_add_up_do_so_with_finite_values_in_every_dtype():
    found = {(c.subject, c.dtype) for c in FULL if c.kind == "finite" and not c.tail}
    assert found == {(rule, dtype) for rule in RULES if adds(rule) for dtype in FLOATS}
    assert {c.subject for c in FULL if c.kind == "late"} == RULES.keys()


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


def of_numpy(check, **more):
    """What NumPy leaves."""
    with gpuopt.use_backend("numpy"):
        return steps.trained(check, steps.sides_of(check)[0], **more)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rule", [name for name in RULES if adds(name)])
def test_finite_sums_move_what_depends_on_them(small, rule, dtype):
    outcome = of_numpy(Check("numpy", "numpy", "finite", rule, dtype))
    start = steps.parameters(Check("numpy", "numpy", "finite", rule, dtype), NUMPY)
    assert all(np.isfinite(one.values.astype(float)).all() for one in outcome.values())
    assert (outcome["param 6"].values != steps.left(start[6]).values).mean() > 0.5
    if RULES[rule].totals:
        assert outcome["d of param 6"].values[0] > 1.5 * steps.D0


NUMPY = steps.sides_of(Check("numpy", "numpy", "rule"))[1]


@pytest.mark.parametrize("rule", RULES)
def test_late_steps_are_those_of_a_rule_that_has_begun(small, rule):
    """RAdam without an average of its own does not move in its first steps."""
    check = Check("numpy", "numpy", "late", rule)
    outcome, start = of_numpy(check, late=True), steps.parameters(check, NUMPY)
    assert outcome["step of param 6"].values.tolist() == [steps.LATE + steps.STEPS]
    assert (outcome["param 6"].values != steps.left(start[6]).values).mean() > 0.5


@pytest.mark.parametrize("kind", ["rule", "late"])
def test_passes_that_do_nothing_are_noticed(small, monkeypatch, kind):
    """RAdam without an average has something to pass over in its late steps alone."""
    check = Check("numpy", "numpy", kind, "radam_schedule_free")
    late = {"late": kind == "late"}
    expected = of_numpy(check, **late)
    monkeypatch.setattr(steps, "run_passes", lambda *_: None)
    wrong = ways.differences(of_numpy(check, **late), expected)
    assert ("param 6" in {one["what"] for one in wrong}) == (kind == "late")


def test_a_skipped_step_is_one(small):
    check = Check("numpy", "numpy", "rule", tail="skip")
    with gpuopt.use_backend("numpy"):
        outcome = steps.trained(check, steps.sides_of(check)[0])
    assert outcome["skipped_steps"].values.tolist() == [1]
    assert outcome["step of param 3"].values.tolist() == [2]


# --- on simulated devices -------------------------------------------------------------------

ON_TWO = [
    check
    for check in checks_for("triton", "torch", False, 2)
    if check.kind not in ("rule", "drop-in", "scaler")
]


@pytest.mark.parametrize("check", ON_TWO, ids=lambda check: check.name.partition(": ")[2])
def test_a_device_has_the_bits_of_numpy(request, device, check):
    backend, made = device
    if check.kind == "threads" and request.config.way == "interpret":
        pytest.skip("Triton's interpreter cannot run in several threads")
    assert ways.run(replace(check, backend=backend)) == []
    assert made.streams == {"streams": 3, "graph": 1}.get(check.kind, 0)
    assert made.strict == (check.kind == "no waiting")


@pytest.mark.parametrize("tail", ["", TO_A_DEVICE])
@pytest.mark.parametrize("rule", ["lamb", "dadapt_adam", "prodigy"])
def test_a_device_that_adds_up_nothing_is_noticed(device, monkeypatch, rule, tail):
    backend, _ = device
    monkeypatch.setattr(DeviceTable, "_summing", lambda *_: [])
    monkeypatch.setattr(DeviceTotals, "add_up", lambda *_: None)
    wrong = {one["what"] for one in ways.run(Check(backend, "torch", "finite", rule, tail=tail))}
    assert ("param 6" if rule == "lamb" else "d of param 6") in wrong


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
