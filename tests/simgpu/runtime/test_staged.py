"""`pytest --cuda gpu`, rehearsed on the machine: tables of host arrays, copied at every step."""

from importlib import import_module

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.dispatch import BACKENDS
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import groups

torch = pytest.importorskip("torch")

SIZES = (5, 700, 0)
WHOLE = {"clip_norm": 0.5, "skip_nonfinite": True, "stats": True, "ema_decay": 0.5}
CASES = {
    "Adam": {},
    "AdamW": WHOLE,
    "LAMB": WHOLE,
    "DAdaptAdam": {"d0": 0.1},
    "Prodigy": {"d0": 0.1, **WHOLE},
}


@pytest.fixture(params=["triton", "cupy"])
def backend(request, machine, monkeypatch):
    """A backend that takes host arrays, as on a GPU."""
    if request.param == "cupy":
        pytest.importorskip("cupy")
        pytest.importorskip("cuda.bindings")
    stand_in = import_module(f"tests.helpers.gpu_{request.param}").BACKEND
    monkeypatch.setitem(BACKENDS, request.param, stand_in)
    return request.param


def drawn(seed, lay):
    random = np.random.default_rng(seed)
    return [lay(np.abs(random.standard_normal(size)).astype(np.float32)) for size in SIZES]


def trained(name, case, lay):
    params = drawn(0, lay)
    with gpuopt.use_backend(name):
        optimizer = getattr(gpuopt, case)(params, **CASES[case])
        for seed in range(1, 5):
            grads = drawn(seed, lay)
            if seed == 2:
                grads[1][7] = float("inf") if "clip_norm" in CASES[case] else 0.0
            optimizer.step(grads)
        assert optimizer.backend == name
        return [*params, *(a for held in optimizer.state.values() for a in held.values())]


@pytest.mark.parametrize("lay", [np.array, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_host_arrays_have_the_bits_of_the_reference(backend, case, lay):
    for mine, theirs in zip(trained(backend, case, lay), trained("numpy", case, lay), strict=True):
        if isinstance(theirs, (int, float)):
            assert mine == pytest.approx(theirs, rel=1e-12)
        else:
            assert_same_bits(np.asarray(mine), np.asarray(theirs))


class AllShards:
    """This process has the only shard."""

    whole = False

    def combine(self, partials):
        return partials


@pytest.mark.parametrize("rule", ["lamb", "prodigy"])
def test_sums_of_shards(backend, rule):
    results = []
    for name in (backend, "numpy"):
        params = [np.ones(700, np.float32)]
        with gpuopt.use_backend(name):
            step = FusedStep(params, ["p"], [0], process_groups=[AllShards()])
            for seed in (1, 2):
                step.run([drawn(seed, np.array)[1]], groups(rule, {"lr": 0.5}))
        results.append(params[0])
    assert_same_bits(*results)
