"""`pytest --cuda gpu` stages host arrays on the device; here, the copies are on the CPU."""

import numpy as np
import pytest

from gpuopt.engine.table import EMPTY
from tests.helpers.layouts import Layout, Placed
from tests.helpers.stepping import ALL_STAGES, check, random_problem

simulated = pytest.importorskip("tests.helpers.simulated_triton")
from tests.helpers.staged import ALIGNMENT, Staged  # noqa: E402  (it imports torch)


@pytest.fixture
def sent(monkeypatch):
    """The addresses of each step: of the host arrays, and as sent to the device."""
    found = []

    class DeviceTable(Staged, simulated.DeviceTable):
        staging_device = "cpu"

        def run(self):
            super().run()
            found.append((self._table.addresses.copy(), self._addresses.array.numpy().copy()))

    monkeypatch.setattr(simulated, "DeviceTable", DeviceTable)
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
