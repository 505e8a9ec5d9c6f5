"""Arrays of a library that nobody knows, and that speaks DLPack."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.layouts import LAYOUTS, Placed
from tests.helpers.stepping import check, groups, on_backend, on_whole_arrays, random_problem

SHAPE = (3, 4, 5, 6)


class Foreign:
    """An array of another library: DLPack, and nothing else. Not even weak references."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def __dlpack__(self, **options):
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()


class Older(Foreign):
    """From before DLPack 1.0: no keywords but the stream, no word about read-only memory."""

    __slots__ = ()

    def __dlpack__(self, stream=None):
        return self.held.__dlpack__(stream=stream)


class OnGPU(Foreign):
    __slots__ = ()

    def __dlpack_device__(self):
        return (2, 0)


KINDS = (Foreign, Older)


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_arrays(backend, kind):
    shapes = [SHAPE, (), (0,), (1,), (20_000,)]
    check(backend, random_problem("adam", shapes), lambda array, role: kind(array.copy()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes(backend, kind, dtype):
    problem = random_problem("adam", [SHAPE], dtypes=(dtype, "float32"))
    check(backend, problem, lambda array, role: kind(array.copy()))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "byte" not in name])
def test_layouts(backend, layout):
    placed = []

    def lay(array, role):
        placed.append(Placed(array, LAYOUTS[layout]))
        return Foreign(placed[-1].array)

    check(backend, random_problem("adam", [SHAPE]), lay)
    for one in placed:
        one.assert_only_the_array_changed()


@pytest.mark.parametrize("role", ["param", "grad"])
def test_beside_numpy_arrays(backend, role):
    check(
        backend,
        random_problem("adam", [(50,), (6, 7)]),
        lambda array, is_: Foreign(array.copy()) if is_ == role else array.copy(),
    )


def test_states_are_numpy_arrays(any_backend):
    outcome = on_backend(
        any_backend, random_problem("adam", [SHAPE]), lambda a, _: Foreign(a.copy())
    )
    assert {type(s) for s in outcome.states[0].values()} == {np.ndarray}


def test_objects_whose_memory_changes(any_backend):
    """Nothing tells that such an object lies elsewhere now; it is asked at every step."""
    problem = random_problem("adam", [(30, 40)], steps=4)
    param, grad = Foreign(problem.params[0].copy()), Foreign(None)
    fused = FusedStep([param], ["p"], [0])
    with gpuopt.use_backend(any_backend):
        for i, (contents,) in enumerate(problem.grads):
            param.held = param.held.copy(order="FC"[i % 2])
            grad.held = contents.copy(order="CF"[i % 2])
            fused.run([grad], problem.groups)
    assert_same_bits(param, on_whole_arrays(problem).params[0])


def test_a_tensor_rests_after_a_gradient_that_takes_no_weak_reference(any_backend):
    problem = random_problem("adam", [(500,)], steps=4)
    problem.grads = [problem.grads[0], [None], [None], problem.grads[3]]
    lay = [lambda a, role: Foreign(a.copy()), lambda a, role: a.copy()]
    expected = on_whole_arrays(problem)
    for each in lay:
        assert_same_bits(on_backend(any_backend, problem, each).params[0], expected.params[0])


def test_read_only_memory_is_refused():
    memory = np.zeros(3, np.float32)
    memory.flags.writeable = False
    with pytest.raises((TypeError, ValueError), match=r"^p: .*read-?only"):
        FusedStep([Foreign(memory)], ["p"], [0])


def test_other_devices_and_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"^p: .*(cannot share this array|is on CUDA, which)"):
        FusedStep([OnGPU(np.zeros(3, np.float32))], ["p"], [0])
    with pytest.raises(TypeError, match=r"^p: expected one of float64"):
        FusedStep([Foreign(np.zeros(3, np.int32))], ["p"], [0])
    param = np.zeros(3, np.float32)
    fused = FusedStep([param], ["p"], [0])
    with pytest.raises(TypeError, match=r"^gradient of p: expected one of float64"):
        fused.run([Foreign(np.zeros(3, bool))], groups("adam"))
    assert not param.any()
