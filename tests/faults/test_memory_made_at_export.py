"""Arrays of other libraries that make the memory they export: it lives as long as the export."""

import weakref

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.backends import on_cpu
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import on_whole_arrays, random_problem


class Lazy:
    """A lazy array: each export computes it anew, into memory that is overwritten once freed."""

    def __init__(self, values):
        self.values, self.alive = values, 0

    def __dlpack__(self, **options):
        memory = self.values.copy(order="K")
        exported = memory[...]
        self.alive += 1
        weakref.finalize(exported, self._free, memory)
        return exported.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)

    def _free(self, memory):
        self.alive -= 1
        memory.fill(np.nan)


@pytest.fixture(params=on_cpu())
def backend(request):
    with gpuopt.use_backend(request.param):
        yield request.param


ORDERS = {
    "C": lambda array: array,
    "F": lambda array: array.copy("F"),
    "strided": lambda array: np.repeat(array, 2, -1)[..., ::2],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tail", [{}, {"clip_norm": 0.5}, {"skip_nonfinite": True}])
def test_gradients_are_read_before_they_are_freed(backend, order, tail):
    shapes = [(1000,), (30, 40), (), (0,), (70_000,)]
    problem = random_problem("adam", shapes, steps=4)
    params = [p.copy() for p in problem.params]
    others = [p.copy() for p in problem.params]
    opt, expected = (gpuopt.Adam(own, lr=0.01, **tail) for own in (params, others))
    held = []
    for grads in problem.grads:
        laid = [ORDERS[order](g) if g.ndim else g for g in grads]
        expected.step(laid)
        held.append([Lazy(g) for g in laid])
        opt.step(held[-1])
    for one, other in zip(params, others):
        assert_same_bits(one, other)
    opt.step([None] * len(params))
    assert [lazy.alive for grads in held for lazy in grads] == [0] * (4 * len(shapes))


def test_copies_of_what_was_exported():
    """What copies a foreign array reads it through a view, which needs the export as well."""
    values = np.arange(1000.0, dtype=np.float32)
    assert_same_bits(gpuopt.arrays.to_numpy(Lazy(values)), values)
    assert_same_bits(gpuopt.arrays.copy_as(Lazy(values), "float32"), values)
    target = np.zeros(1000, np.float32)
    gpuopt.arrays.assign(target, Lazy(values))
    assert_same_bits(target, values)
    view = gpuopt.arrays.describe(Lazy(values), "array").view
    assert_same_bits(view[::7], values[::7])


def test_parameters_are_refused():
    """The update would be written into memory that nobody else has."""
    with pytest.raises(TypeError, match=r"^params\[1\]: Lazy makes new memory at each export; it "):
        gpuopt.SGD([np.zeros(3, np.float32), Lazy(np.zeros(3, np.float32))], lr=1.0)


def test_gradients_are_refused_where_zeros_are_to_be_written(backend):
    param = np.zeros(3, np.float32)
    opt = gpuopt.SGD([param], lr=1.0, zero_grads=True)
    with pytest.raises(TypeError, match=r"^gradient of params\[0\]: Lazy makes new memory .* zero"):
        opt.step([Lazy(np.ones(3, np.float32))])
    assert not param.any()
    grad = np.ones(3, np.float32)
    opt.step([grad])
    assert param.tolist() == [-1.0] * 3 and not grad.any()


def test_a_parameter_that_begins_to_make_its_memory():
    class Later(Lazy):
        made = False

        def __dlpack__(self, **options):
            return super().__dlpack__(**options) if self.made else self.values.__dlpack__(**options)

    param = Later(np.zeros(3, np.float32))
    fused = FusedStep([param], ["p"], [0])
    problem = random_problem("adam", [(3,)], steps=2)
    fused.run(problem.grads[0], problem.groups)
    before = param.values.copy()
    param.made = True
    with pytest.raises(TypeError, match=r"^p: Later makes new memory at each export"):
        fused.run(problem.grads[1], problem.groups)
    assert_same_bits(param.values, before)
    param.made = False
    fused.run(problem.grads[1], problem.groups)
    problem.params = [np.zeros(3, np.float32)]
    assert_same_bits(param.values, on_whole_arrays(problem).params[0])
