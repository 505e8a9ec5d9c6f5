"""`pytest --cuda gpu` stages host arrays on the device; here, the copies are on the CPU."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.table import EMPTY
from tests.helpers.layouts import Layout, Placed
from tests.helpers.stepping import ALL_STAGES, check, random_problem

simulated = pytest.importorskip("tests.helpers.simulated_triton")
from tests.helpers.staged import ALIGNMENT, Staged, StagedTotal  # noqa: E402  (torch's)


@pytest.fixture
def sent(monkeypatch):
    """The addresses of each step: of the host arrays, and as sent to the device."""
    found = []

    class DeviceTable(Staged, simulated.DeviceTable):
        def run(self):
            super().run()
            found.append((self._table.addresses.copy(), self._addresses.array.numpy().copy()))

    class DeviceTotal(StagedTotal, simulated.DeviceTotal):
        pass

    monkeypatch.setattr(Staged, "staging_device", "cpu")
    monkeypatch.setattr(simulated, "DeviceTable", DeviceTable)
    monkeypatch.setattr(simulated, "DeviceTotal", DeviceTotal)
    return found


@pytest.mark.parametrize("shift", [0, 8])
def test_the_same_bits_by_way_of_copies(sent, request, shift):
    if request.config.way != "sim":
        pytest.skip("no device is simulated here")
    mixed = ("float32", "bfloat16")
    problem = random_problem("adam", [(9000,), (0,), (3,)], ALL_STAGES, dtypes=mixed, steps=3)
    problem.grads[1][2] = None
    check("triton", problem, lambda array, role: Placed(array, Layout(shift=shift)).array)
    assert len(sent) == 3
    for here, there in sent:
        copied = here > EMPTY  # where there is an array, but for the tensor without elements
        copied[:, 1] = False
        assert np.array_equal(here != there, copied)
        assert np.array_equal(here % ALIGNMENT, there % ALIGNMENT)


def test_what_is_measured_are_the_copies(sent, request):
    """A pass over the gradients comes before the step; on a GPU it must not see host addresses."""
    if request.config.way != "sim":
        pytest.skip("no device is simulated here")
    tail = {"clip_norm": 0.5, "skip_nonfinite": True, "stats": True}
    outcomes = []
    for backend in ("numpy", "triton"):
        rng = np.random.default_rng(0)
        params = [rng.integers(-4, 5, n).astype(np.float32) for n in (9000, 3)]
        with gpuopt.use_backend(backend):
            opt = gpuopt.Adam(params, **tail)
            for bad in (False, True, False):
                grads = [rng.integers(-4, 5, p.size).astype(np.float32) for p in params]
                grads[1][0] = np.inf if bad else grads[1][0]
                opt.step(grads)
            outcomes.append((*params, opt.grad_norm, opt.skipped_steps))
    assert all(map(np.array_equal, *outcomes))
    assert len(sent) == 3


@pytest.mark.parametrize("name", ["gpu_triton", "gpu_cupy"])
def test_the_stand_ins_for_a_gpu_have_all_that_a_backend_has(name):
    module = pytest.importorskip(f"tests.helpers.{name}")
    assert issubclass(module.DeviceTable, Staged)
    assert issubclass(module.DeviceTotal, StagedTotal)
    assert {"CHUNK", "DeviceTable", "DeviceTotal", "SIMULATED_ON", "problem"} <= set(module.__all__)
