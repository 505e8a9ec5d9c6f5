"""Arrays as a list, a dict, or groups; and what the optimizer tells about them."""

import numpy as np
import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.optimizers import (
    ON_BACKENDS,
    STRUCTURES,
    VARIANTS,
    Foreign,
    arrays,
    everything,
    frozen,
    gradients,
    make,
)


def bits(flat):
    return [frozen(array) for array in flat]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_gives_the_bits_of_a_list(backend, structure):
    params, expected = arrays(0), arrays(0)
    optimizer = gpuopt.Adam(STRUCTURES[structure].params(params))
    reference = gpuopt.Adam(expected)
    for step in range(3):
        assert optimizer.step(STRUCTURES[structure].grads(gradients(step))) is None
        reference.step(gradients(step))
    assert bits(params) == bits(expected) != bits(arrays(0))


def test_gradients_of_a_list_may_come_as_a_tuple_and_the_other_way_round(numpy_backend):
    params, expected = arrays(0), arrays(0)
    for flat, given in ((params, tuple), (expected, list)):
        optimizer = gpuopt.Adam(given(flat))
        optimizer.step({tuple: list, list: tuple}[given](gradients(0)))
    assert bits(params) == bits(expected)


def test_gradients_are_found_by_name_not_by_order(numpy_backend):
    params = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    optimizer = gpuopt.SGD(params, lr=1.0)
    optimizer.step({"b": np.full(2, 2, np.float32), "a": np.full(2, 1, np.float32)})
    assert params["a"].tolist() == [-1, -1]
    assert params["b"].tolist() == [-2, -2]


def test_the_structure_of_the_users_is_not_kept(numpy_backend):
    params = arrays(0)
    flat = list(params)
    optimizer = gpuopt.SGD(flat, lr=1.0)
    flat.clear()
    optimizer.step(gradients(0))
    assert bits(params) != bits(arrays(0))


def test_arrays_of_any_library_that_speaks_dlpack(backend):
    """Updated in place, in any mixture; their states are NumPy arrays."""
    params, expected = arrays(0), arrays(0)
    mixed = [Foreign(p) if i % 2 == 0 else p for i, p in enumerate(params)]
    optimizer, reference = gpuopt.Adam(mixed), gpuopt.Adam(expected)
    for step in range(4):
        optimizer.step([Foreign(g) if step % 2 else g for g in gradients(step)])
        reference.step(gradients(step))
        if step == 1:
            optimizer.load_state_dict(optimizer.state_dict())
    assert everything(optimizer, params) == everything(reference, expected)


def test_arrays_are_updated_where_they_lie(backend):
    params = arrays(0)
    addresses = [p.ctypes.data for p in params]
    optimizer = gpuopt.Adam(params)
    optimizer.step(gradients(0))
    assert [p.ctypes.data for p in params] == addresses
    assert bits(params) != bits(arrays(0))


# --- states -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "keys"),
    [
        ("list", [0, 1, 2, 3, 4]),
        ("dict", ["layer.0", "layer.1", "layer.2", "layer.3", "layer.4"]),
        ("groups", [0, "layer.0", "layer.1", 3, 4]),
    ],
)
def test_states_go_by_name_or_by_place_among_all_arrays(numpy_backend, structure, keys):
    optimizer = gpuopt.Adam(STRUCTURES[structure].params(arrays(0)))
    assert optimizer.state == {}
    optimizer.step(STRUCTURES[structure].grads(gradients(0)))
    assert list(optimizer.state) == keys
    for held in optimizer.state.values():
        assert list(held) == ["step", "exp_avg", "exp_avg_sq"]


def test_states_are_the_live_arrays(backend):
    optimizer = gpuopt.Momentum(arrays(0), lr=1.0)
    optimizer.step(gradients(0))
    before = optimizer.state[0]["momentum_buffer"]
    held = frozen(before)
    optimizer.step(gradients(1))
    assert optimizer.state[0]["momentum_buffer"] is before
    assert frozen(before) != held
    before[...] = 0
    optimizer.step([np.zeros_like(g) for g in gradients(2)])
    assert not before.any()


def test_states_have_the_shape_and_memory_order_of_their_parameter(backend):
    params = [np.asfortranarray(arrays(0)[0]), np.zeros((2, 3, 4), np.float32).transpose(2, 0, 1)]
    optimizer = gpuopt.Adam(params)
    optimizer.step([np.ones_like(p) for p in params])
    for param, held in zip(params, optimizer.state.values()):
        for name in ("exp_avg", "exp_avg_sq"):
            assert held[name].shape == param.shape
            assert held[name].strides == param.strides


def test_states_without_an_update_do_not_exist(backend):
    params = arrays(0)
    optimizer = gpuopt.Adam(params)
    grads = gradients(0)
    optimizer.step([grads[0], None, None, grads[3], None])
    assert list(optimizer.state) == [0, 3]


# --- arrays that rest ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_an_array_without_a_gradient_rests(numpy_backend, name, options):
    """Its parameter, its states and its step count are those of an optimizer of its own."""
    if DEFINITIONS[name].shared:
        pytest.skip("its arrays share numbers, and so depend on each other")
    pattern = [(1, 0), (1, 1), (0, 1), (0, 0), (1, 1)]
    params, alone = arrays(0), arrays(0)
    together = make(name, params[:2], **options)
    # Each in its place, which seeds how its states are rounded.
    apart = [make(name, alone[: i + 1], **options) for i in range(2)]
    for step, present in enumerate(pattern):
        grads = [g if here else None for g, here in zip(gradients(step), present)]
        together.step(grads)
        for i, (optimizer, grad) in enumerate(zip(apart, grads)):
            if grad is not None:
                optimizer.step([None] * i + [grad])
        assert bits(params) == bits(alone)
    assert [held["step"] for held in together.state.values()] == [3, 3]
    for i, optimizer in enumerate(apart):
        assert everything(together, params)[1][i] == everything(optimizer, alone)[1][i]


def test_arrays_rest_in_every_structure(backend):
    for structure in STRUCTURES.values():
        params = arrays(0)
        optimizer = gpuopt.Adam(structure.params(params))
        for resting in range(len(params)):
            before = bits(params)
            grads = gradients(0)
            grads[resting] = None
            optimizer.step(structure.grads(grads))
            assert bits(params)[resting] == before[resting]
            assert [a == b for a, b in zip(bits(params), before)].count(True) <= 2  # one is empty


def test_when_all_arrays_rest_nothing_happens(backend):
    params = arrays(0)
    optimizer = gpuopt.Adam(params)
    for _ in range(2):
        optimizer.step([None] * len(params))
        assert optimizer.state == {}
        assert bits(params) == bits(arrays(0))
    optimizer.step(gradients(0))
    before = everything(optimizer, params)
    optimizer.step([None] * len(params))
    assert everything(optimizer, params) == before


def test_a_zero_gradient_is_not_a_rest(backend):
    params = [np.ones(3, np.float32), np.ones(3, np.float32)]
    optimizer = gpuopt.Adam(params, lr=0.5)
    optimizer.step([np.ones(3, np.float32), np.ones(3, np.float32)])
    after_one = params[0].copy()
    optimizer.step([np.zeros(3, np.float32), None])
    assert params[1].tobytes() == after_one.tobytes() != params[0].tobytes()
    assert [held["step"] for held in optimizer.state.values()] == [2, 1]


# --- groups -----------------------------------------------------------------------------------


def grouped_and_apart(name, first, second):
    """One optimizer of two groups, and two optimizers of their own, each with its arrays."""
    params, alone = arrays(0), arrays(0)
    together = make(name, [{"params": params[:2], **first}, {"params": params[2:], **second}])
    apart = (make(name, alone[:2], **first), make(name, alone[2:], **second))
    return together, params, apart, alone


def step_both(together, apart, step):
    together.step([gradients(step)[:2], gradients(step)[2:]])
    apart[0].step(gradients(step)[:2])
    apart[1].step(gradients(step)[2:])


@pytest.mark.parametrize(("backend", "name", "options"), ON_BACKENDS, indirect=["backend"])
def test_a_group_is_updated_as_by_an_optimizer_of_its_own(backend, name, options):
    if DEFINITIONS[name].shared:
        pytest.skip("its arrays share numbers, and so depend on each other")
    own = {key: value for key, value in options.items() if key != "state_dtype"}
    together, params, apart, alone = grouped_and_apart(name, {}, own)
    for step in range(3):
        step_both(together, apart, step)
    assert bits(params) == bits(alone)
    assert [dict(g) for g in together.param_groups] == [dict(o.param_groups[0]) for o in apart]


def test_groups_take_the_defaults_that_they_do_not_override(numpy_backend):
    optimizer = gpuopt.Adam(
        [{"params": arrays(0), "lr": 0.5}, {"params": arrays(1), "eps": 0.25}], lr=0.125
    )
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.125]
    assert [g["eps"] for g in optimizer.param_groups] == [1e-8, 0.25]
    assert [g["betas"] for g in optimizer.param_groups] == [(0.9, 0.999)] * 2


def test_the_dicts_of_the_groups_are_not_changed_and_not_kept(numpy_backend):
    group = {"params": arrays(0), "lr": 0.5}
    optimizer = gpuopt.Adam([group])
    assert set(group) == {"params", "lr"}
    group["lr"] = 0.25
    assert optimizer.lr == 0.5


def test_one_group_may_hold_an_array_alone_and_another_rest(backend):
    params = arrays(0)
    optimizer = gpuopt.Adam([{"params": params[:1]}, {"params": {"w": params[1]}, "lr": 0.5}])
    optimizer.step([[None], {"w": gradients(0)[1]}])
    assert list(optimizer.state) == ["w"]
    assert bits(params[:1]) == bits(arrays(0)[:1])
    assert bits(params[1:2]) != bits(arrays(0)[1:2])


# --- what it tells ----------------------------------------------------------------------------


def test_repr_names_the_optimizer_and_its_options():
    optimizer = gpuopt.RMSProp([{"params": arrays(0)}, {"params": arrays(1), "lr": 0.125}], lr=0.5)
    text = repr(optimizer)
    assert text.startswith("RMSProp(10 arrays, ")
    for option in ("'lr': 0.5", "'lr': 0.125", "'centered': False", "'eps': 1e-08"):
        assert option in text


def test_backend_and_explain_name_what_runs(backend):
    optimizer = gpuopt.Adam(arrays(0))
    for step in range(2):
        assert optimizer.backend == backend
        assert optimizer.explain().chosen == {"cpu": backend}
        assert f"arrays on cpu: {backend}" in str(optimizer.explain())
        optimizer.step(gradients(step))


def test_backend_tells_that_an_array_with_gaps_goes_another_way(backend):
    optimizer = gpuopt.SGD([np.zeros(6, np.float32)[::2]], lr=1.0)
    optimizer.step([np.ones(3, np.float32)])
    assert optimizer.backend == {"llvm": "llvm+numpy", "numpy": "numpy"}[backend]


def test_another_backend_may_take_over_at_any_step():
    pytest.importorskip("llvmlite")
    params, expected = arrays(0), arrays(0)
    optimizer, reference = gpuopt.Adam(params), gpuopt.Adam(expected)
    for step, name in enumerate(["numpy", "llvm", "numpy", "llvm", "llvm"]):
        with gpuopt.use_backend(name):
            optimizer.step(gradients(step))
            assert optimizer.backend == name
        with gpuopt.use_backend("numpy"):
            reference.step(gradients(step))
    assert everything(optimizer, params) == everything(reference, expected)
