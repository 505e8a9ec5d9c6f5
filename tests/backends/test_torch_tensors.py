"""torch's CPU tensors: every layout, moved memory, and what autograd is told."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.exact import plain as values_of
from tests.helpers.layouts import Layout, Placed
from tests.helpers.stepping import (
    ALL_STAGES,
    Problem,
    check,
    groups,
    on_backend,
    on_whole_arrays,
    random_problem,
)
from tests.helpers.tensors import tensor_of, torch
from tests.helpers.values import DTYPES

SHAPE = (3, 4, 5, 6)


def _slice(tensor):
    wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), 7.0, dtype=tensor.dtype)
    wide[..., ::2] = tensor
    return wide[..., ::2]


FORMS = {
    "contiguous": lambda t: t,
    "leaf": lambda t: t.requires_grad_(),
    "Parameter": torch.nn.Parameter,
    "channels_last": lambda t: t.to(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(0, 2).contiguous().transpose(0, 2),
    "slice": _slice,
    "offset": lambda t: torch.cat([torch.zeros(1, dtype=t.dtype), t.flatten()])[1:].view(t.shape),
}
GRADS = [name for name in FORMS if name not in ("leaf", "Parameter")]


def lay_out(param, grad):
    def lay(array, role):
        return FORMS[{"param": param, "grad": grad, "state": "contiguous"}[role]](tensor_of(array))

    return lay


@pytest.mark.parametrize("param", FORMS)
@pytest.mark.parametrize("grad", GRADS)
def test_layouts(backend, param, grad):
    check(backend, random_problem("adam", [SHAPE] * 2, ALL_STAGES, {}), lay_out(param, grad))


@pytest.mark.parametrize(
    ("dtypes", "state"),
    [
        (("bfloat16", "bfloat16"), None),
        (("bfloat16", "float32"), "bfloat16"),
        (("float16", "bfloat16"), None),
        (("float32", "float16"), "float16"),
        (("float64", "float64"), None),
    ],
)
def test_dtypes(backend, dtypes, state):
    shapes = [SHAPE, (), (0,), (1,), (20_000,)]
    problem = random_problem("adam", shapes, dtypes=dtypes, state_dtype=state)
    check(backend, problem, lambda array, role: tensor_of(array))


@pytest.mark.parametrize("param", ["contiguous", "leaf"])
def test_states_are_tensors_that_lie_as_their_parameter(any_backend, param):
    for form in ("contiguous", "channels_last", "transposed"):
        problem = random_problem("adam", [SHAPE], dtypes=("bfloat16", "bfloat16"))
        outcome = on_backend(any_backend, problem, lay_out(form, form))
        for state in outcome.states[0].values():
            assert state.stride() == outcome.params[0].stride()
            assert state.dtype == torch.float32
            assert not state.requires_grad


@pytest.mark.parametrize("param", ["array", "tensor"])
def test_parameters_of_one_library_and_gradients_of_the_other(backend, param):
    def lay(array, role):
        return tensor_of(array) if (role == "param") == (param == "tensor") else array.copy()

    check(backend, random_problem("adam", [(50,), (60, 7)]), lay)


def test_tensors_and_arrays_side_by_side(backend):
    turns = iter([tensor_of, np.copy] * 100)
    check(
        backend,
        random_problem("adam", [(5,), (6,), (7,), (8,)]),
        lambda array, role: next(turns)(array),
    )


# --- tensors whose memory changes ---------------------------------------------------------------


class Stepper:
    """Torch tensors stepped one step at a time, beside the same on whole arrays."""

    def __init__(self, backend, problem, form="contiguous"):
        self.backend, self.problem = backend, problem
        self.params = [FORMS[form](tensor_of(p)) for p in problem.params]
        names = [f"p{i}" for i in range(len(self.params))]
        self.fused = FusedStep(self.params, names, [0] * len(names))
        self.expected = on_whole_arrays(problem)

    def step(self, grads):
        with gpuopt.use_backend(self.backend):
            self.fused.run(grads, self.problem.groups)

    def check(self):
        for param, end in zip(self.params, self.expected.params):
            assert_same_bits(param, end)


def swap_in_a_copy(tensor):
    tensor.data = tensor.data.clone()


def swap_in_another_order(tensor):
    tensor.data = tensor.data.transpose(0, 1).contiguous().transpose(0, 1)


def swap_in_a_slice(tensor):
    tensor.data = _slice(tensor.data)


def swap_twice(tensor):
    """The second memory may be where the first was."""
    for _ in range(2):
        tensor.data = tensor.data.t().contiguous().t() if tensor.is_contiguous() else _slice(tensor)


SWAPS = [swap_in_a_copy, swap_in_another_order, swap_in_a_slice, swap_twice]


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("form", ["contiguous", "leaf"])
def test_a_parameter_whose_data_is_replaced(any_backend, form, swap):
    run = Stepper(any_backend, random_problem("adam", [(40, 50), (60,)], steps=4), form)
    for grads in run.problem.grads:
        run.step([tensor_of(g) for g in grads])
        swap(run.params[0])
    run.check()


@pytest.mark.parametrize("swap", SWAPS)
def test_a_gradient_whose_data_is_replaced(any_backend, swap):
    run = Stepper(any_backend, random_problem("adam", [(40, 50)], steps=4))
    grad = torch.zeros(40, 50)
    for (contents,) in run.problem.grads:
        grad.copy_(tensor_of(contents))
        run.step([grad])
        swap(grad)
    run.check()


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_a_gradient_that_moves_to_another_alignment(any_backend, convert):
    """Of more elements than a chunk, whose kernel is chosen by its alignment."""
    run = Stepper(any_backend, random_problem("adam", [(8200,), (8200,)], steps=4))
    for grads, shifts in zip(run.problem.grads, ((0, 0), (8, 0), (0, 4), (0, 0))):
        placed = [Placed(g, Layout(shift=shift)).array for g, shift in zip(grads, shifts)]
        run.step(list(map(convert, placed)))
    run.check()


def test_a_gradient_of_an_array_whose_data_is_replaced(any_backend):
    problem = random_problem("adam", [(40, 50)], steps=4)
    param = problem.params[0].copy()
    fused = FusedStep([param], ["p"], [0])
    grad = torch.zeros(40, 50)
    with gpuopt.use_backend(any_backend):
        for (contents,) in problem.grads:
            grad.data = tensor_of(contents)
            fused.run([grad], problem.groups)
    assert_same_bits(param, on_whole_arrays(problem).params[0])


def test_a_gradient_transposed_in_its_place(any_backend):
    """The same object at the same address, with other strides."""
    run = Stepper(any_backend, random_problem("adam", [(30, 30)], steps=2))
    (first,), (second,) = run.problem.grads
    memory = tensor_of(first)
    grad = memory.detach()
    run.step([grad])
    memory.copy_(tensor_of(second).t())
    grad.t_()
    run.step([grad])
    run.check()


def test_a_parameter_transposed_in_its_place(any_backend):
    run = Stepper(any_backend, random_problem("gradient_descent", [(30, 30)], steps=2))
    run.step([tensor_of(run.problem.grads[0][0])])
    run.params[0].t_()
    run.step([tensor_of(run.problem.grads[1][0]).t()])
    run.params[0].t_()
    run.check()


@pytest.mark.parametrize("which", ["param", "grad"])
def test_another_dtype_in_the_same_place(any_backend, which):
    """The same object, address, shape and strides: only the dtype says that it is another."""
    problem = random_problem("adam", [(600,)], dtypes=("bfloat16", "bfloat16"), steps=2)
    run = Stepper(any_backend, problem)
    param, grad = run.params[0], tensor_of(problem.grads[0][0])
    run.step([grad])
    begun = on_whole_arrays(Problem(problem.params, problem.grads[:1], problem.groups))
    contents, moved = begun.params[0], {"param": param, "grad": grad}[which]
    moved.data = moved.data.view(torch.float16)
    if which == "param":
        contents = contents.astype(np.float16)
        param.copy_(tensor_of(contents))
    grad.copy_(tensor_of(problem.grads[1][0]).to(grad.dtype))
    second = values_of(grad)
    run.step([grad])
    end = Problem([contents], [[second]], problem.groups, states=begun.states, steps=begun.steps)
    assert_same_bits(param, on_whole_arrays(end).params[0])


def test_a_gradient_where_the_parameter_was(any_backend):
    """The memory of a replaced parameter is free, and the next gradient may take it."""
    run = Stepper(any_backend, random_problem("adam", [(600,)], steps=3))
    memory = [tensor_of(p[0]) for p in run.problem.grads[:2]]
    old = run.params[0].data = tensor_of(run.problem.params[0])
    run.step([memory[0]])
    run.params[0].data = run.params[0].data.clone()
    old.copy_(memory[1])
    run.step([old])
    run.step([tensor_of(run.problem.grads[2][0])])
    run.check()


def test_two_parameters_that_change_places(any_backend):
    run = Stepper(any_backend, random_problem("adam", [(50,), (50,)], steps=3))
    for grads in run.problem.grads:
        run.step([tensor_of(g) for g in grads])
        a, b = run.params
        contents = a.clone(), b.clone()
        a.data, b.data = b.data, a.data
        a.copy_(contents[0])
        b.copy_(contents[1])
    run.check()


@pytest.mark.parametrize("where", ["another parameter", "its gradient", "a state"])
def test_a_parameter_moved_onto_other_memory_is_refused(any_backend, where):
    run = Stepper(any_backend, random_problem("adam", [(50,), (50,)], steps=2))
    grads = [tensor_of(g) for g in run.problem.grads[0]]
    run.step(grads)
    here = run.params[0].data
    onto = {
        "another parameter": run.params[1].data,
        "its gradient": grads[0],
        "a state": run.fused.states[1]["exp_avg"],
    }
    before = [t.clone() for t in (*run.params, *grads, here)]
    run.params[0].data = onto[where]
    with pytest.raises(ValueError, match=r"overlap|same array"):
        run.step(grads)
    run.params[0].data = here
    for tensor, was in zip((*run.params, *grads, here), before):
        assert torch.equal(tensor, was)
    run.step([tensor_of(g) for g in run.problem.grads[1]])
    run.check()


def test_a_parameter_of_another_shape_is_refused(any_backend):
    run = Stepper(any_backend, random_problem("adam", [(6, 8)], steps=2))
    run.step([tensor_of(run.problem.grads[0][0])])
    whole = run.params[0].data
    for other in (whole[:3], whole.view(8, 6), whole.flatten()):
        run.params[0].data = other
        with pytest.raises(ValueError, match="was of shape"):
            run.step([tensor_of(run.problem.grads[1][0])])
    run.params[0].data = whole
    run.step([tensor_of(run.problem.grads[1][0])])
    run.check()


@pytest.mark.parametrize(("before", "after"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_a_parameter_of_another_dtype_goes_on_in_it(any_backend, before, after):
    problem = random_problem("adam", [(500,)], dtypes=(before, "float32"), steps=2)
    run = Stepper(any_backend, problem)
    run.step([tensor_of(problem.grads[0][0])])
    run.params[0].data = run.params[0].data.to(getattr(torch, after))
    run.step([tensor_of(problem.grads[1][0])])

    half = random_problem("adam", [(500,)], dtypes=(before, "float32"), steps=1)
    first = on_whole_arrays(half)
    problem.params = [first.params[0].astype(DTYPES[after])]
    problem.states, problem.steps, problem.grads = first.states, first.steps, problem.grads[1:]
    assert_same_bits(run.params[0], on_whole_arrays(problem).params[0])


def test_gradients_freed_after_every_step(any_backend):
    run = Stepper(any_backend, random_problem("adam", [(700,)] * 3, steps=6))
    for grads in run.problem.grads:
        run.step([tensor_of(g) for g in grads])
    run.check()


# --- autograd -----------------------------------------------------------------------------------


def test_version_counters_are_bumped_where_something_changed(any_backend):
    params = [torch.zeros(5).requires_grad_() for _ in range(3)]
    rest = torch.zeros(4)[::2]
    fused = FusedStep([*params, rest], list("abcd"), [0] * 4)
    with gpuopt.use_backend(any_backend):
        for _ in range(2):
            before = [p._version for p in (*params, rest)]
            fused.run([torch.ones(5), None, torch.ones(5), torch.ones(2)], groups("adam"))
            changed = [p._version > v for p, v in zip((*params, rest), before)]
            assert changed == [True, False, True, True]


def test_autograd_notices_a_step_between_forward_and_backward(any_backend):
    param = torch.ones(5, requires_grad=True)
    fused = FusedStep([param], ["p"], [0])
    loss = (param * param).sum()
    with gpuopt.use_backend(any_backend):
        fused.run([torch.ones(5)], groups("gradient_descent"))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_of_a_backward_pass(any_backend):
    param = torch.nn.Parameter(torch.full((4, 4), 2.0))
    fused = FusedStep([param], ["p"], [0])
    with gpuopt.use_backend(any_backend):
        for _ in range(3):
            param.grad = None
            (param * param).sum().backward()
            fused.run([param.grad], groups("gradient_descent", {"lr": 0.25}))
    assert torch.equal(param.detach(), torch.full((4, 4), 0.25))
    assert param.requires_grad and param.is_leaf


# --- tensors that cannot be taken ---------------------------------------------------------------


def refused(tensor, match, kind=TypeError):
    with pytest.raises(kind, match=match):
        FusedStep([tensor], ["p"], [0])


def test_tensors_that_are_no_dense_floats_are_refused():
    refused(torch.zeros(3, dtype=torch.int64), "p: expected one of float64")
    refused(torch.zeros(3, dtype=torch.complex64), "p: expected one of float64")
    refused(torch.eye(3).to_sparse(), "p: expected a dense tensor")
    refused(torch.zeros(3, device="meta"), "p: expected a CPU or CUDA tensor")
    refused(torch.complex(torch.ones(3), torch.ones(3)).conj().imag, "p: .*negated view")


def test_tensors_whose_elements_overlap_are_refused():
    refused(torch.zeros(1).expand(5), "p: elements of the array overlap", ValueError)


def test_a_sparse_gradient_is_refused_and_a_dense_one_taken_then(any_backend):
    run = Stepper(any_backend, random_problem("adam", [(3, 3)], steps=2))
    for grads in run.problem.grads:
        with pytest.raises(TypeError, match="gradient of p0: expected a dense tensor"):
            run.step([torch.eye(3).to_sparse()])
        run.step([tensor_of(g) for g in grads])
    run.check()
