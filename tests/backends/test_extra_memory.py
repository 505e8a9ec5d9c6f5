"""A step needs no memory beside its arrays but blocks: under 16 MiB at 16M elements."""

import sys

import pytest

from gpuopt.engine.dispatch import BACKENDS
from tests.helpers.scripts import run_script

LIMIT = 16 << 20

# Warmed up on a few elements of the same types, so that what is compiled does not count; every
# page of every array is touched before, so that only what the step itself takes is new.
MEASURE = """
    import resource, sys, tracemalloc
    import numpy as np
    import gpuopt
    from gpuopt.engine.step import FusedStep
    from tests.helpers.stepping import groups

    SIDE = 4096
    wanted = groups("adam", {"weight_decay": 0.01, "maximize": 1.0})

    def filled(side, layout):
        wide = np.full((side, 2 * side if layout == "slice" else side), 0.5, np.float32)
        return wide[:, ::2] if layout == "slice" else wide.T if layout == "transposed" else wide

    def ready(side):
        layouts = {"dense": "CC", "transposed gradient": ("C", "transposed"),
                   "slice": ("slice", "C")}[LAYOUT]
        param, grad = (filled(side, layout) for layout in layouts)
        fused = FusedStep([param], ["p"], [0])
        fused.load([7], [{n: filled(side, "C") for n in ("exp_avg", "exp_avg_sq")}])
        return param, grad, fused

    def peak():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    gpuopt.use_backend(BACKEND)
    _, grad, fused = ready(300)
    fused.run([grad], wanted)
    param, grad, fused = ready(SIDE)
    tracemalloc.start()
    traced, resident = tracemalloc.get_traced_memory()[0], peak()
    fused.run([grad], wanted)
    print(tracemalloc.get_traced_memory()[1] - traced, peak() - resident)
    assert (param != 0.5).all()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is Unix's")
@pytest.mark.parametrize("layout", ["dense", "transposed gradient", "slice"])
def test_a_step_over_16M_elements(any_backend, layout):
    if "cpu" not in BACKENDS[any_backend].devices:
        pytest.skip("what a simulation takes says nothing about the device")
    script = MEASURE.replace("BACKEND", repr(any_backend)).replace("LAYOUT", repr(layout))
    allocated, resident = map(int, run_script(script).split())
    assert allocated < LIMIT, "by Python and NumPy"
    assert resident < LIMIT, "by the whole process"
