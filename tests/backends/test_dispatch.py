"""Which backend runs: the choice, forcing one, saying why, and what is said when it cannot."""

import json
import threading

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.dispatch import BACKENDS, chosen
from gpuopt.engine.step import FusedStep
from tests.helpers.stepping import (
    REFERENCE,
    Outcome,
    assert_same_outcome,
    groups,
    on_whole_arrays,
    random_problem,
)

ARRAY = np.zeros(3, np.float32)
FIRST = next(n for n, b in BACKENDS.items() if "cpu" in b.devices and b.problem() is None)


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_runs_or_says_why_not(name):
    problem = BACKENDS[name].problem()
    if problem is None:
        assert BACKENDS[name].load() is not None
        return
    with pytest.raises(gpuopt.BackendError) as caught:
        gpuopt.use_backend(name)
    assert name in str(caught.value) and problem in str(caught.value)
    pytest.skip(f"backend {name}: {problem}")


def test_the_first_that_can_run_is_chosen():
    assert chosen("cpu").name == FIRST
    assert gpuopt.explain(ARRAY).chosen == {"cpu": FIRST}


def test_llvm_comes_before_numpy():
    names = [name for name, backend in BACKENDS.items() if "cpu" in backend.devices]
    assert names.index("llvm") < names.index("numpy")


def test_an_optimizer_names_its_backend(any_backend):
    with gpuopt.use_backend(any_backend):
        assert gpuopt.SGD([ARRAY.copy()], lr=1.0).backend == any_backend


def test_strided_arrays_name_the_path_that_they_take(any_backend):
    opt = gpuopt.SGD([np.zeros(8, np.float32)[::2]], lr=1.0)
    with gpuopt.use_backend(any_backend):
        opt.step([np.ones(4, np.float32)])
        assert set(opt.backend.split("+")) <= {any_backend, REFERENCE}


# --- use_backend ---------------------------------------------------------------------------------


def test_as_a_call_it_lasts():
    gpuopt.use_backend("numpy")
    assert chosen("cpu").name == "numpy"
    gpuopt.use_backend(None)
    assert chosen("cpu").name == FIRST


def test_as_a_block_it_ends_with_it(any_backend):
    with gpuopt.use_backend(any_backend):
        assert chosen("cpu").name == any_backend
    assert chosen("cpu").name == FIRST


def test_blocks_inside_blocks(any_backend):
    with gpuopt.use_backend("numpy"):
        with gpuopt.use_backend(any_backend):
            with gpuopt.use_backend(None):
                assert chosen("cpu").name == FIRST
            assert chosen("cpu").name == any_backend
        assert chosen("cpu").name == "numpy"
    assert chosen("cpu").name == FIRST


def test_a_call_inside_a_block_ends_with_it():
    with gpuopt.use_backend("numpy"):
        gpuopt.use_backend(None)
        assert chosen("cpu").name == FIRST
    assert chosen("cpu").name == FIRST


def test_an_error_inside_a_block_ends_it():
    with pytest.raises(ZeroDivisionError), gpuopt.use_backend("numpy"):
        raise ZeroDivisionError
    assert chosen("cpu").name == FIRST


def test_it_holds_in_every_thread():
    seen = []
    with gpuopt.use_backend("numpy"):
        thread = threading.Thread(target=lambda: seen.append(chosen("cpu").name))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


@pytest.mark.parametrize("name", ["cuda", "NumPy", ""])
def test_an_unknown_name_changes_nothing(name):
    with gpuopt.use_backend("numpy"):
        with pytest.raises(ValueError, match=r"^use_backend: expected one of .*llvm, numpy"):
            gpuopt.use_backend(name)
        assert chosen("cpu").name == "numpy"


def test_another_backend_between_two_steps(backend):
    problem = random_problem("adam", [(300,), (20, 30)], steps=4)
    params = [p.copy() for p in problem.params]
    fused = FusedStep(params, ["a", "b"], [0, 0])
    for name, grads in zip((REFERENCE, backend, backend, REFERENCE), problem.grads):
        with gpuopt.use_backend(name):
            fused.run(grads, problem.groups)
            assert fused.backends == (name,)
    outcome = Outcome(params, fused.states, fused.steps.tolist(), fused.carried)
    assert_same_outcome(outcome, on_whole_arrays(problem))


# --- GPUOPT_BACKEND ------------------------------------------------------------------------------


def test_the_variable_forces_one(any_backend, monkeypatch):
    monkeypatch.setenv("GPUOPT_BACKEND", any_backend)
    assert chosen("cpu").name == any_backend
    assert gpuopt.explain(ARRAY).reasons["cpu"][any_backend] == "forced by GPUOPT_BACKEND"


def test_an_empty_variable_forces_none(monkeypatch):
    monkeypatch.setenv("GPUOPT_BACKEND", "")
    assert chosen("cpu").name == FIRST


def test_use_backend_goes_before_the_variable(backend, monkeypatch):
    monkeypatch.setenv("GPUOPT_BACKEND", backend)
    with gpuopt.use_backend(REFERENCE):
        assert chosen("cpu").name == REFERENCE
    assert chosen("cpu").name == backend


def test_an_unknown_name_in_the_variable_is_an_error_before_anything_changes(monkeypatch):
    param = np.zeros(3, np.float32)
    fused = FusedStep([param], ["p"], [0])
    monkeypatch.setenv("GPUOPT_BACKEND", "cpu")
    with pytest.raises(ValueError, match=r"^GPUOPT_BACKEND: expected one of .*, got 'cpu'"):
        fused.run([np.ones(3, np.float32)], groups("adam"))
    assert not param.any() and fused.states == [{}] and fused.steps.tolist() == [0]


# --- explain -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrays", [ARRAY, [ARRAY, ARRAY.copy()], (ARRAY,), {"w": ARRAY}, np.zeros((0, 3))]
)
def test_explain_takes_arrays_lists_and_dicts(arrays):
    assert gpuopt.explain(arrays).chosen == {"cpu": FIRST}


def test_explain_gives_a_reason_for_every_backend():
    explanation = gpuopt.explain(ARRAY)
    assert list(explanation.reasons["cpu"]) == list(BACKENDS)
    assert explanation.reasons["cpu"][FIRST] == "the first choice for this device that can run"
    for name, why in explanation.reasons["cpu"].items():
        assert f"  {name}: {why}" in str(explanation).splitlines()
    assert str(explanation).splitlines()[0] == f"arrays on cpu: {FIRST}"
    data = explanation.as_dict()
    assert data == {"cpu": {"chosen": FIRST, "reasons": dict(explanation.reasons["cpu"])}}
    assert json.loads(json.dumps(data)) == data


def test_explain_says_what_is_forced():
    with gpuopt.use_backend("numpy"):
        reasons = gpuopt.explain(ARRAY).reasons["cpu"]
    assert reasons["numpy"] == "forced by use_backend"
    assert reasons["llvm"] == "not asked for: use_backend forces 'numpy'"


def test_explain_refuses_what_is_no_array():
    with pytest.raises(TypeError, match=r"arrays\['w'\]: expected a NumPy array"):
        gpuopt.explain({"w": [1.0]})
