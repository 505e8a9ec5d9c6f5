"""Memory orders, gaps, odd addresses: the same bits, and nothing else is touched."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.layouts import DENSE, LAYOUTS, Layout, Placed
from tests.helpers.stepping import (
    ALL_STAGES,
    check,
    groups,
    on_backend,
    on_whole_arrays,
    random_problem,
)
from tests.helpers.values import DTYPES, values

SHAPE = (3, 4, 5, 6)


def lay_out(param, grad, state, placed):
    """Put parameters, gradients and states into these layouts, and list where they are."""
    layouts = {"param": LAYOUTS[param], "grad": LAYOUTS[grad], "state": LAYOUTS[state]}

    def lay(array, role):
        placed.append(Placed(array, layouts[role]))
        return placed[-1].array

    return lay


def with_states(problem, dtype="float32"):
    names = problem.groups[0].update.rule.states
    problem.states = [
        {name: abs(values("ordinary", p.shape, dtype, 7)) for name in names} for p in problem.params
    ]
    problem.steps = [3] * len(problem.params)
    return problem


def check_layout(backend, problem, param, grad, state):
    placed = []
    check(backend, problem, lay_out(param, grad, state, placed))
    for i, one in enumerate(placed):
        one.assert_only_the_array_changed(f"array {i}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_in_one_layout(backend, layout):
    problem = with_states(random_problem("adam", [SHAPE, SHAPE], ALL_STAGES, {}))
    check_layout(backend, problem, layout, layout, layout)


@pytest.mark.parametrize("param", LAYOUTS)
@pytest.mark.parametrize("grad", LAYOUTS)
def test_the_gradient_lies_otherwise(backend, param, grad):
    check_layout(backend, random_problem("momentum", [SHAPE]), param, grad, "C")


@pytest.mark.parametrize("param", LAYOUTS)
@pytest.mark.parametrize("state", LAYOUTS)
def test_the_states_lie_otherwise(backend, param, state):
    problem = with_states(random_problem("adam", [SHAPE]))
    check_layout(backend, problem, param, "C", state)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtypes", [("bfloat16", "float16"), ("float16", "float64")])
def test_16_bits_in_every_layout(backend, layout, dtypes):
    problem = with_states(random_problem("adam", [SHAPE], dtypes=dtypes))
    check_layout(backend, problem, layout, layout, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gradient_that_changes_its_layout_between_steps(backend, layout):
    problem = random_problem("adam", [SHAPE], steps=6)
    taken = []

    def lay(array, role):
        if role == "grad":
            taken.append(Placed(array, LAYOUTS[layout if len(taken) % 2 else "C"]))
            return taken[-1].array
        return array.copy()

    check(backend, problem, lay)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 1), (5, 1), (2, 1, 3)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_elements_in_every_layout(backend, shape, layout):
    check_layout(backend, random_problem("adam", [shape]), layout, layout, layout)


def test_one_misaligned_list_each_and_more_elements_than_a_chunk(backend):
    """Each alone is a reason for accesses of single elements; the last tensor has none."""
    lists = ("param", "grad", "exp_avg", "exp_avg_sq", "none")
    shapes = [(8200 + i,) for i in range(len(lists))]
    problem = with_states(random_problem("adam", shapes, dtypes=("bfloat16", "float32")))
    given, placed = [("param", i) for i in range(len(lists))], []
    given += [(name, i) for i, held in enumerate(problem.states) for name in held]
    given += [("grad", i) for _ in problem.grads for i in range(len(lists))]

    def lay(array, role):
        name, i = given[len(placed) % len(given)]
        placed.append(Placed(array, Layout(shift=8 if lists[i] == name else 0)))
        return placed[-1].array

    check(backend, problem, lay)
    for one in placed:
        one.assert_only_the_array_changed()


def test_a_few_odd_arrays_among_many(backend):
    problem = random_problem("adam", [SHAPE] * 3 * len(LAYOUTS), ALL_STAGES, {})
    layouts, placed = list(LAYOUTS.values()), []

    def lay(array, role):
        # Parameters and gradients come in turns of as many as there are tensors.
        placed.append(Placed(array, layouts[len(placed) % len(layouts)]))
        return placed[-1].array

    check(backend, problem, lay)
    for one in placed:
        one.assert_only_the_array_changed()


@pytest.mark.parametrize("layout", DENSE)
def test_states_lie_as_their_parameter_does(any_backend, layout):
    placed = []
    lay = lay_out(layout, layout, layout, placed)
    outcome = on_backend(any_backend, random_problem("adam", [SHAPE]), lay)
    for state in outcome.states[0].values():
        assert state.strides == outcome.params[0].strides


def test_dense_arrays_of_one_order_do_not_take_the_strided_path(backend):
    for layout in DENSE:
        lay = lay_out(layout, layout, layout, [])
        outcome = on_backend(backend, random_problem("adam", [SHAPE]), lay)
        with gpuopt.use_backend(backend):
            assert outcome.fused.backends == (backend,), layout


def test_odd_offsets_into_bytes(backend):
    """Arrays over the bytes of a file or a message, at any address."""
    problem = random_problem("adam", [(1001,)], dtypes=("float32", "float16"))
    for offset in (1, 2, 3, 4, 6, 7):

        def lay(array, role, offset=offset):
            data = bytearray(offset + array.nbytes)
            taken = np.frombuffer(data, array.dtype, array.size, offset)
            taken[...] = array
            return taken

        check(backend, problem, lay)


# --- gradients that come, go and change ---------------------------------------------------------


def stepping(backend, param, rule="adam"):
    """A step over one array, and a function that does one with a gradient."""
    fused = FusedStep([param], ["p"], [0])
    wanted = groups(rule)

    def step(grad):
        with gpuopt.use_backend(backend):
            fused.run([grad], wanted)

    return fused, step


def test_the_same_gradient_array_with_new_contents(any_backend):
    problem = random_problem("adam", [(500,)], steps=4)
    expected = on_whole_arrays(problem)
    param, grad = problem.params[0].copy(), np.empty_like(problem.params[0])
    _, step = stepping(any_backend, param)
    for (contents,) in problem.grads:
        grad[...] = contents
        step(grad)
    assert_same_bits(param, expected.params[0])


def test_a_freed_gradient_and_another_at_its_address(any_backend):
    """By dtype, by order and by shape: what was known of an address says nothing."""
    block = np.empty(400 * 8, np.uint8)
    kinds = [("float32", "C"), ("float16", "C"), ("float32", "F"), ("float64", "C")] * 2
    problem = random_problem("adam", [(20, 20)], steps=len(kinds))
    problem.grads = [[values("ordinary", (20, 20), dtype, i)] for i, (dtype, _) in enumerate(kinds)]
    expected = on_whole_arrays(problem)
    param = problem.params[0].copy()
    _, step = stepping(any_backend, param)
    for (dtype, order), (contents,) in zip(kinds, problem.grads):
        grad = np.ndarray((20, 20), DTYPES[dtype], block, order=order)
        grad[...] = contents
        step(grad)
        del grad
    assert_same_bits(param, expected.params[0])


def test_a_gradient_of_another_shape_at_the_same_address_is_refused(any_backend):
    block = np.ones(64, np.float32)
    param = np.zeros(64, np.float32)
    _, step = stepping(any_backend, param, "gradient_descent")
    step(block[:])
    before = param.copy()
    with pytest.raises(ValueError, match=r"expected shape \(64,\), got \(8, 8\)"):
        step(block.reshape(8, 8))
    assert_same_bits(param, before)
    step(block[:])
    assert (param < before).all()


def test_a_broadcast_gradient_is_taken(backend):
    problem = random_problem("adam", [(6, 50)])
    problem.grads = [[np.broadcast_to(g[0][:1], (6, 50))] for g in problem.grads]
    check(backend, problem, lambda array, role: array if role == "grad" else array.copy())


def test_a_read_only_gradient_is_taken(backend):
    def lay(array, role):
        array = array.copy()
        array.flags.writeable = role != "grad"
        return array

    check(backend, random_problem("adam", [(300,)]), lay)


# --- arrays that cannot be updated ---------------------------------------------------------------


def test_a_read_only_parameter_is_refused():
    param = np.zeros(3, np.float32)
    param.flags.writeable = False
    with pytest.raises(ValueError, match=r"^p: .*read-only"):
        FusedStep([param], ["p"], [0])


def test_a_broadcast_parameter_is_refused():
    param = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (3,), (0,))
    with pytest.raises(ValueError, match=r"^p: elements of the array overlap"):
        FusedStep([param], ["p"], [0])


def test_windows_into_one_array_are_refused():
    windows = np.lib.stride_tricks.sliding_window_view(np.zeros(9, np.float32), 3, writeable=True)
    with pytest.raises(ValueError, match="overlap"):
        FusedStep([windows], ["p"], [0])


def test_interleaved_slices_of_one_array_are_two_parameters(backend):
    whole = values("ordinary", (2, 501), "float32")
    problem = random_problem("adam", [(501,), (501,)])
    expected = on_whole_arrays(problem)
    whole = np.empty(1002, np.float32)
    parts = [whole[::2], whole[1::2]]
    for part, values_ in zip(parts, problem.params):
        part[...] = values_
    fused = FusedStep(parts, ["even", "odd"], [0, 0])
    with gpuopt.use_backend(backend):
        for grads in problem.grads:
            fused.run(grads, problem.groups)
    for part, end in zip(parts, expected.params):
        assert_same_bits(part, end)


# --- arrays over files ----------------------------------------------------------------------------


def test_arrays_over_files(backend, tmp_path):
    names = iter(range(100))

    def lay(array, role):
        mapped = np.memmap(tmp_path / str(next(names)), array.dtype, "w+", 0, array.shape)
        mapped[...] = array
        return mapped

    check(backend, random_problem("adam", [(30, 40), (20_000,)]), lay)
