import dataclasses
import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks import copyloop, cpu_step, memory, suite, textbook, timing
from benchmarks.arena import Arena
from benchmarks.cases import CASES
from benchmarks.check import same_formula
from benchmarks.contender import Step, Unavailable
from benchmarks.models import MODELS, elements
from benchmarks.ours import OURS
from benchmarks.peers import PEERS

ROOT = Path(__file__).parents[2]
SHAPES = ((70,), (3, 5), (1,))
WRONG = {
    "sgd": lambda p, g, s, step, lr: textbook.sgd(p, g, s, step, lr * 1.001),
    "momentum": lambda p, g, s, step, lr, beta: textbook.sgd(p, g, s, step, lr),
    "rmsprop": lambda p, g, s, step, lr, beta, eps: textbook.rmsprop(p, g, s, step, lr, beta, 0.0),
    "adam": lambda p, g, s, step, lr, betas, eps: textbook.adam(p, g, s, step + 1, lr, betas, eps),
    "adamw": lambda p, g, s, step, weight_decay, **rest: textbook.adam(p, g, s, step, **rest),
    "amsgrad": textbook.adam,
}
"""For each rule a formula that is nearly the right one."""


@pytest.fixture(autouse=True)
def small_and_short(monkeypatch):
    monkeypatch.setitem(MODELS, "small", SHAPES)
    monkeypatch.setattr(timing, "SHORTEST", 1e-5)
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)


def run(tmp_path, *arguments):
    """What the command writes as data."""
    file = tmp_path / "out.json"
    asked = ("--models", "small", "--rounds", "2", "--threads", "1", "--json", str(file))
    assert cpu_step.main([*asked, *arguments]) == 0
    return json.loads(file.read_text())


def needs(contender):
    if contender.startswith("torch") or "torch" in contender:
        pytest.importorskip("torch")
    if contender.startswith("numba"):
        pytest.importorskip("numba")


def test_the_command_measures_all_and_writes_it_down(tmp_path, capsys):
    pytest.importorskip("numba")
    data = run(tmp_path, "--rules", "adam", "rmsprop")
    assert data["schema"] == 1
    assert data["rounds"] == 2
    assert data["threads"] == 1
    assert data["machine"]["packages"]["numpy"] == np.__version__
    assert data["date"].startswith("20")
    assert [result["rule"] for result in data["results"]] == ["adam", "rmsprop"]
    result = data["results"][0]
    assert result["tensors"] == 3
    assert result["elements"] == 86
    assert result["bytes"] == 28 * 86
    assert set(result["contenders"]) | set(result["dropped"]) == {suite.COPY, *OURS, *PEERS}
    for name, contender in result["contenders"].items():
        seconds = contender["seconds"]
        assert len(seconds["samples"]) == 2
        assert 0 < seconds["min"] <= seconds["quartiles"][0] <= seconds["median"]
        assert contender["of_copy"] > 0
        assert contender["gigabytes_per_second"] > 0
        assert set(contender["times_as_fast_as"]) == set(PEERS) & set(result["contenders"]) - {name}
    assert [(type(t["measured"]), t["met"]) for t in data["targets"]] in ([], [(float, True)])
    shown = capsys.readouterr().out
    assert "adam on small: 3 tensors, 86 elements, 28 bytes an element" in shown
    assert all(name in shown for name in result["contenders"])


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("contender", {**OURS, **PEERS})
def test_every_contender_computes_the_rule(rule, contender):
    needs(contender)
    try:
        problem = same_formula(CASES[rule], {**OURS, **PEERS}[contender], OURS["numpy"])
    except Unavailable as error:
        assert (rule, contender) == ("rmsprop", "torch fused"), error
    else:
        assert problem is None


@pytest.mark.parametrize("rule", CASES)
def test_a_peer_with_another_formula_is_named_and_dropped(rule):
    case = dataclasses.replace(CASES[rule], textbook=WRONG[rule])
    makers = {"numpy": OURS["numpy"], "impostor": PEERS["textbook NumPy"]}
    result = suite.measure(case, "small", SHAPES, makers, rounds=1)
    assert "numpy" in result.timings
    assert "impostor" not in result.timings
    assert result.dropped["impostor"].startswith("another formula")


def test_a_broken_peer_does_not_stop_the_run():
    def broken(case, arena):
        return Step(lambda: 1 / 0)

    makers = {"numpy": OURS["numpy"], "broken": broken}
    result = suite.measure(CASES["sgd"], "small", SHAPES, makers, rounds=1)
    assert "numpy" in result.timings
    assert result.dropped["broken"] == "failed: ZeroDivisionError: division by zero"


def test_without_torch_the_rest_runs(tmp_path):
    file = tmp_path / "out.json"
    # In a process of its own: what cannot be imported is remembered.
    code = f"""if True:
        import sys
        sys.modules["torch"] = None
        from benchmarks import cpu_step, models
        models.MODELS["small"] = {SHAPES}
        asked = "--models small --rules sgd --rounds 1 --json".split()
        sys.exit(cpu_step.main([*asked, {str(file)!r}]))
    """
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "without torch fused: torch is not installed" in shown
    (result,) = json.loads(file.read_text())["results"]
    absent = [name for name in {**OURS, **PEERS} if "torch" in name]
    assert {result["dropped"][name] for name in absent} == {"torch is not installed"}
    assert {"numpy", "textbook NumPy"} <= set(result["contenders"])


def test_without_numba_the_rest_runs(monkeypatch):
    def missing(case, arena):
        raise Unavailable("Numba is not installed")

    monkeypatch.setattr(suite, "copy_loop", missing)
    makers = {"numba": missing, "numpy": OURS["numpy"]}
    result = suite.measure(CASES["adam"], "small", SHAPES, makers, rounds=1)
    assert set(result.timings) == {"numpy"}
    assert set(result.dropped) == {"numba", suite.COPY}
    assert result.of_copy("numpy") is None


def test_a_file_that_cannot_be_written_is_reported_before_the_work(tmp_path, capsys):
    assert cpu_step.main(["--json", str(tmp_path / "missing" / "out.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_all_contenders_update_the_same_memory():
    arena = Arena(SHAPES, CASES["adam"].rule.states)
    for contender in ("numba", "numpy", "torch fused"):
        needs(contender)
        before = arena.flat["params"].copy(), arena.flat["exp_avg"].copy()
        step = {**OURS, **PEERS}[contender](CASES["adam"], arena)
        with step.around():
            step.run()
        assert (arena.flat["params"] != before[0]).any()
        assert (arena.flat["exp_avg"] != before[1]).any()


def test_the_tensors_of_an_arena_are_aligned_and_apart():
    arena = Arena(SHAPES, ("a", "b"))
    for i, shape in enumerate(SHAPES):
        tensors = [arena.params[i], arena.grads[i], *arena.states[i].values()]
        assert [t.shape for t in tensors] == [shape] * 4
        assert all(t.ctypes.data % 64 == 0 for t in tensors)
    assert not any(np.shares_memory(a, b) for a in arena.params for b in arena.params if a is not b)


@pytest.mark.parametrize("rule", CASES)
def test_the_copy_loop_changes_nothing(rule):
    pytest.importorskip("numba")
    arena = Arena(((40_000,), (70_000,)), CASES[rule].rule.states)
    before = {name: list_.copy() for name, list_ in arena.flat.items()}
    copyloop.copy_loop(CASES[rule], arena).run()
    for name, values in before.items():
        assert (arena.flat[name] == values).all()


def test_extra_memory_is_seen():
    def run():
        np.ones(8 << 20)

    extra = memory.extra_bytes(Step(run))
    if extra is None:
        pytest.skip("the operating system does not say")
    assert 60 << 20 < extra < 80 << 20
    assert memory.extra_bytes(Step(lambda: None)) < 4 << 20


def test_contenders_take_turns_with_the_same_number_of_samples():
    calls = []
    steps = {name: Step(lambda name=name: calls.append(name)) for name in "abc"}
    timings = timing.interleaved(steps, rounds=4)
    assert all(len(timings[name].samples) == 4 for name in "abc")
    assert calls[:3] == ["a", "b", "c"]


def test_threads_are_given_back(monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "3")
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    with timing.threads(1):
        assert timing.os.environ["GPUOPT_NUM_THREADS"] == "1"
        assert torch is None or torch.get_num_threads() == 1
    assert timing.os.environ["GPUOPT_NUM_THREADS"] == "3"
    assert torch is None or torch.get_num_threads() == before


def test_the_models_have_their_published_sizes():
    assert (len(MODELS["gpt2"]), elements(MODELS["gpt2"])) == (148, 124_439_808)
    assert (len(MODELS["resnet50"]), elements(MODELS["resnet50"])) == (161, 25_557_032)


@pytest.mark.parametrize("name", [m.name for m in pkgutil.iter_modules(benchmarks.__path__)])
def test_the_examples_of(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert doctest.testmod(module, raise_on_error=True).failed == 0
