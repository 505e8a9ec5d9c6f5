"""Contenders that are timed compute the rule; others are listed as left out."""

import dataclasses
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from benchmarks import copyloop, measure, textbook
from benchmarks.buffers import DTYPES, SharedBuffers
from benchmarks.cases import CASES
from benchmarks.check import same_formula
from benchmarks.lines import Place
from benchmarks.ours import OURS, reference
from benchmarks.peers import PEERS
from benchmarks.peers.torch_optim import COMPILED
from benchmarks.step import Step, Unavailable
from benchmarks.timing import Timing

from .conftest import SHAPES

CPU = {**OURS["cpu"], **PEERS["cpu"]}
NUMPY = OURS["cpu"]["numpy"]
WRONG = {
    "sgd": lambda p, g, s, step, lr: textbook.sgd(p, g, s, step, lr * 1.001),
    "momentum": lambda p, g, s, step, lr, beta: textbook.sgd(p, g, s, step, lr),
    "rmsprop": lambda p, g, s, step, lr, beta, eps: textbook.rmsprop(p, g, s, step, lr, beta, 0.0),
    "adam": lambda p, g, s, step, lr, betas, eps: textbook.adam(p, g, s, step + 1, lr, betas, eps),
    "adamw": lambda p, g, s, step, weight_decay, **rest: textbook.adam(p, g, s, step, **rest),
    "amsgrad": textbook.adam,
}
"""For each rule, a slightly wrong formula."""
ALWAYS = ("llvm, drop-in", "torch foreach", "torch for-loop")
"""Contenders that implement every rule; others are left out where they do not."""


def needs(contender):
    if "torch" in contender or "drop-in" in contender:
        pytest.importorskip("torch")
    if contender.startswith("llvm"):
        pytest.importorskip("llvmlite")


def measured(case, contenders):
    place = Place("update", case.name, "float32", "small", "cpu")
    return measure.measure(place, case, SHAPES, contenders, rounds=1)


def test_ratios_say_how_many_times_as_fast_as_another_a_contender_is(monkeypatch):
    seconds = {"copy": (1.0, 2.0, 1.0), "numpy": (4.0, 8.0, 2.0), "textbook NumPy": (8.0, 8.0, 5.0)}
    timings = {name: Timing(taken, 1, 1.0) for name, taken in seconds.items()}
    monkeypatch.setattr(measure, "interleaved", lambda *_: timings)
    group = measured(CASES["sgd"], {name: CPU[name] for name in ("numpy", "textbook NumPy")})
    lines = {line.contender: line for line in group.lines}
    mine, peer = lines["numpy"], lines["textbook NumPy"]
    assert (mine.of_copy, peer.of_copy, lines["copy"].of_copy) == (0.25, 0.2, 1.0)
    assert mine.times_as_fast_as == {"textbook NumPy": 2.0}
    assert peer.times_as_fast_as == {}
    assert mine.seconds["median"] == 4.0
    assert mine.gigabytes_per_second == mine.bytes / 4e9


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("contender", [name for name in CPU if name != COMPILED])
def test_every_contender_computes_the_rule(rule, contender):
    needs(contender)
    if CASES[rule].optimizer is None:
        needs("torch")  # whose drop-in is the reference
    try:
        problem = same_formula(CASES[rule], CPU[contender], reference(CASES[rule]))
    except Unavailable:
        assert contender not in ALWAYS
        assert contender not in OURS["cpu"] or CASES[rule].optimizer is None
    else:
        assert problem is None


@pytest.mark.parametrize(
    "rule, rough", [*((rule, False) for rule in WRONG), ("adam", True), ("adamw", True)]
)
def test_a_peer_with_another_formula_is_named_and_left_out(monkeypatch, rule, rough):
    case = dataclasses.replace(CASES[rule], textbook=WRONG[rule])
    monkeypatch.setattr(measure, "ROUGH", ("impostor",) if rough else ())
    group = measured(case, {"numpy": NUMPY, "impostor": PEERS["cpu"]["textbook NumPy"]})
    assert group.line("numpy")
    assert not group.line("impostor")
    assert group.left_out["impostor"].startswith("another formula")


def test_a_peer_that_computes_nan_is_named_and_left_out():
    def lost(case, buffers):
        wrong = np.full(len(buffers.flat["params"]), np.nan, np.float32)
        return Step(lambda: buffers.fill("params", wrong))

    group = measured(CASES["sgd"], {"numpy": NUMPY, "lost": lost})
    assert group.left_out["lost"].startswith("another formula: nan off in float32")


@pytest.mark.parametrize("breaks", ["when it is made", "at its step", "at a later step"])
def test_a_broken_peer_does_not_stop_the_run(breaks):
    calls = []

    def broken(case, buffers):
        def run():
            calls.append(1)
            return 1 / (0 if breaks == "at its step" or len(calls) > 1 else 1)

        if breaks == "when it is made":
            raise ZeroDivisionError("division by zero")
        return Step(run)

    group = measured(CASES["sgd"], {"numpy": NUMPY, "broken": broken})
    assert group.line("numpy")
    assert not group.line("broken")
    assert group.left_out["broken"] == "failed: ZeroDivisionError: division by zero"


@pytest.mark.parametrize("lives", [4, 5, 12], ids=["first", "repeats", "sample"])
def test_a_peer_that_breaks_while_times_are_taken_does_not_stop_the_run(lives):
    left = iter(range(lives))

    def dying(case, buffers):
        return Step(lambda: next(left))

    steps = {"numpy": NUMPY, "dying": dying}
    with mock.patch.object(measure, "same_formula", lambda *_: None):
        place = Place("update", "sgd", "float32", "small", "cpu")
        group = measure.measure(place, CASES["sgd"], SHAPES, steps, rounds=30)
    assert len(group.line("numpy").seconds["samples"]) == 30
    assert not group.line("dying")
    assert group.left_out["dying"].startswith("failed: StopIteration")
    assert "dying" not in group.line("numpy").times_as_fast_as


def test_a_package_with_another_interface_is_named():
    needs("torch")
    with mock.patch.dict(sys.modules, optimi=SimpleNamespace()):
        group = measured(CASES["adam"], {"numpy": NUMPY, "optimi": PEERS["cpu"]["optimi"]})
    assert group.left_out["optimi"].startswith("failed: AttributeError")


def test_without_llvmlite_the_rest_runs(monkeypatch):
    def missing(case, buffers):
        raise Unavailable("LLVM is not installed")

    monkeypatch.setattr(measure, "copy_loop", missing)
    group = measured(CASES["adam"], {"llvm": missing, "numpy": NUMPY})
    assert [line.contender for line in group.lines] == ["numpy"]
    assert set(group.left_out) == {"llvm", "copy"}
    assert group.lines[0].of_copy is None


def test_all_contenders_update_the_same_memory():
    buffers = SharedBuffers(SHAPES, CASES["adam"].rule.states)
    for contender in ("llvm", "numpy", "torch fused"):
        needs(contender)
        before = buffers.flat["params"].copy(), buffers.flat["exp_avg"].copy()
        step = CPU[contender](CASES["adam"], buffers)
        with step.context():
            step.run()
        assert (buffers.flat["params"] != before[0]).any()
        assert (buffers.flat["exp_avg"] != before[1]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tensors_of_the_buffers_are_aligned_and_apart(dtype):
    pytest.importorskip("ml_dtypes")
    buffers = SharedBuffers(SHAPES, ("a", "b"), dtype)
    for i, shape in enumerate(SHAPES):
        tensors = [buffers.params[i], buffers.grads[i], *buffers.states[i].values()]
        assert [t.shape for t in tensors] == [shape] * 4
        assert all(t.ctypes.data % 64 == 0 for t in tensors)
    assert buffers.params[0].dtype.name == dtype
    assert not any(
        np.shares_memory(a, b) for a in buffers.params for b in buffers.params if a is not b
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", ["sgd", "adam", "amsgrad"])
def test_the_copy_loop_changes_nothing(rule, dtype):
    pytest.importorskip("numba")
    pytest.importorskip("ml_dtypes")
    buffers = SharedBuffers(((40_000,), (70_000,)), CASES[rule].rule.states, dtype)
    before = {name: list_.copy() for name, list_ in buffers.flat.items()}
    copyloop.copy_loop(CASES[rule], buffers).run()
    for name, values in before.items():
        assert (buffers.flat[name] == values).all()
