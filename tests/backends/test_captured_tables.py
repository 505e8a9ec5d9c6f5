"""What a captured graph knows the address of lives as long as the optimizer."""

import gc
import weakref

import numpy as np
import pytest

import gpuopt
from tests.helpers import simulated_cupy
from tests.helpers.simulated_cupy import HostMemory

if simulated_cupy.problem():
    pytest.skip("the CUDA C is not compiled here", allow_module_level=True)


class Watched(np.ndarray):
    """An array that can tell when it is gone."""


@pytest.fixture
def uploads(monkeypatch):
    """References to all arrays that were copied to the simulated device."""
    made = []

    def upload(self, values):
        array = np.array(values).view(Watched)
        made.append(weakref.ref(array))
        return array

    monkeypatch.setattr(HostMemory, "upload", upload)
    return made


def alive(references):
    gc.collect()
    return sum(reference() is not None for reference in references)


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("what", ["layout", "load"])
@pytest.mark.parametrize(
    ("name", "state"), [("Momentum", "momentum_buffer"), ("DAdaptAdam", "exp_avg")]
)
def test_tables_and_states_of_a_graph_live_on(uploads, monkeypatch, captured, what, name, state):
    """DAdaptAdam has shared numbers, too, and totals."""
    optimizer = getattr(gpuopt, name)([np.zeros(9, np.float32)], lr=0.1)
    with gpuopt.use_backend("cupy"):
        optimizer.step([np.ones(9, np.float32)])
        monkeypatch.setattr(HostMemory, "hold", lambda self, arrays: captured)
        optimizer.step([np.ones(9, np.float32)])
        monkeypatch.setattr(HostMemory, "hold", lambda self, arrays: False)
        before, count = list(uploads), len(uploads)
        held = weakref.ref(optimizer.state[0][state])
        if what == "load":
            optimizer.load_state_dict(optimizer.state_dict())
        else:
            optimizer.step([np.ones(9, np.float16)])
        assert alive(before) == (count if captured else 0)
        assert (held() is not None) == (captured or what == "layout")
    del optimizer
    assert alive(before) == 0


def test_a_step_holds_all_memory_of_the_device_that_it_uses(uploads, monkeypatch):
    """So that nobody reuses it while the step's stream is not done."""
    held = []
    monkeypatch.setattr(HostMemory, "hold", lambda self, arrays: bool(held.extend(arrays)))
    params = [np.zeros(9, np.float32), np.zeros(9, np.float64)]
    options = {"clip_norm": 1.0, "skip_nonfinite": True, "stats": True}
    optimizer = gpuopt.NAdam(params, lr=0.1, **options)
    grads = [p + 1 for p in params]
    with gpuopt.use_backend("cupy"):
        optimizer.step(grads)
        held.clear()
        optimizer.step(grads)
    found = {id(array) for array in held}
    assert len(uploads) == 2 * 12 + 5  # of two tables and a total
    assert found == {id(reference()) for reference in uploads}
