"""A gradient that does not fit is refused by name, and leaves no trace."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.optimizers import (
    OPTIMIZERS,
    STRUCTURES,
    Pair,
    arrays,
    everything,
    gradients,
)

FLOATS = "float64, float32, float16, bfloat16"


def with_stride_of_five(good):
    array = np.zeros(good.shape, [("a", "f4"), ("b", "i1")])["a"]
    array[...] = good
    return array


BAD = {
    # what becomes of a good gradient of shape (2, 3, 4): the array, the error, what it says
    "int": (lambda g: g.astype(np.int32), TypeError, (FLOATS, "int32")),
    "bool": (lambda g: g > 0, TypeError, (FLOATS, "bool")),
    "complex": (lambda g: g.astype(np.complex64), TypeError, (FLOATS, "complex64")),
    "object": (lambda g: g.astype(object), TypeError, (FLOATS, "dtype('O')")),
    "text": (lambda g: g.astype("U"), TypeError, (FLOATS, "<U")),
    "structured": (lambda g: g.view([("a", "f4")]), TypeError, (FLOATS, "'a'")),
    "non-native": (lambda g: g.astype(">f4"), TypeError, (FLOATS, ">f4")),
    "masked": (np.ma.masked_array, TypeError, ("a plain array", "a masked array")),
    "nested list": (lambda g: g.tolist(), TypeError, ("NumPy array", "list")),
    "number": (lambda g: 1.0, TypeError, ("NumPy array", "float")),
    "NumPy number": (lambda g: np.float32(1), TypeError, ("NumPy array", "float32")),
    "text alone": (lambda g: "gradient", TypeError, ("NumPy array", "str")),
    "generator": (iter, TypeError, ("NumPy array", "iterator")),
    "transposed": (lambda g: g.T, ValueError, ("(2, 3, 4)", "(4, 3, 2)")),
    "axes swapped": (lambda g: g.swapaxes(0, 1), ValueError, ("(2, 3, 4)", "(3, 2, 4)")),
    "flat": (np.ravel, ValueError, ("(2, 3, 4)", "(24,)")),
    "more axes": (lambda g: g[None], ValueError, ("(2, 3, 4)", "(1, 2, 3, 4)")),
    "broadcastable": (lambda g: g[:1], ValueError, ("(2, 3, 4)", "(1, 3, 4)")),
    "broadcastable axis": (lambda g: g[0], ValueError, ("(2, 3, 4)", "(3, 4)")),
    "one element": (lambda g: g[:1, :1, :1], ValueError, ("(2, 3, 4)", "(1, 1, 1)")),
    "no axis": (lambda g: np.asarray(g[0, 0, 0]), ValueError, ("(2, 3, 4)", "()")),
    "too long": (lambda g: np.concatenate([g, g]), ValueError, ("(2, 3, 4)", "(4, 3, 4)")),
    "empty": (lambda g: g[:0], ValueError, ("(2, 3, 4)", "(0, 3, 4)")),
    "odd strides": (with_stride_of_five, ValueError, ("strides", "multiples of 4 bytes")),
}


@pytest.mark.parametrize("case", BAD)
def test_the_last_gradient_is_bad(backend, case):
    """No weight before it has moved when it is refused."""
    spoil, error, words = BAD[case]
    pair = Pair()
    grads = pair.good()
    grads[-1] = spoil(grads[-1])
    with pair.refuses(error, "gradient of params[4]", *words):
        pair.optimizer.step(grads)


@pytest.mark.parametrize("case", BAD)
def test_the_first_gradient_of_all_is_bad(numpy_backend, case):
    """No state exists yet, and none is made."""
    spoil, error, words = BAD[case]
    pair = Pair(steps=0)
    grads = pair.good()
    grads[-1] = spoil(grads[-1])
    with pair.refuses(error, "gradient of params[4]", *words):
        assert pair.optimizer.state == {}
        pair.optimizer.step(grads)


@pytest.mark.parametrize(
    ("structure", "spoil", "name"),
    [
        ("dict", lambda g: {**g, "layer.4": 1.0}, "gradient of params['layer.4']"),
        ("tuple", lambda g: (*g[:4], 1.0), "gradient of params[4]"),
        ("groups", lambda g: [1.0 if i == 0 else x for i, x in enumerate(g)], "grads[0]"),
        ("groups", lambda g: [[1.0], *g[1:]], "gradient of params[0]['params'][0]"),
        (
            "groups",
            lambda g: [g[0], {**g[1], "layer.1": 1.0}, g[2]],
            "gradient of params[1]['params']['layer.1']",
        ),
        ("groups", lambda g: [*g[:2], (g[2][0], 1.0)], "gradient of params[2]['params'][1]"),
    ],
)
def test_errors_name_the_gradient_as_the_user_does(numpy_backend, structure, spoil, name):
    pair = Pair(structure)
    with pair.refuses(TypeError, name, "got float"):
        pair.optimizer.step(spoil(pair.good()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_refuses_a_bad_gradient(backend, name):
    pair = Pair(optimizer=name)
    with pair.refuses(TypeError, "gradient of params[4]", "int64"):
        pair.optimizer.step([*pair.good()[:4], np.zeros((2, 3, 4), np.int64)])


def test_one_of_very_many_is_bad(backend):
    params = [np.ones(2, np.float32) for _ in range(1000)]
    optimizer = gpuopt.Adam(params, lr=0.5)
    grads = [np.ones(2, np.float32) for _ in range(1000)]
    optimizer.step(grads)
    moved = params[0].copy()
    for place in (999, 500, 0):
        bad = list(grads)
        bad[place] = np.ones(3, np.float32)
        with pytest.raises(ValueError, match=rf"gradient of params\[{place}\]: expected shape"):
            optimizer.step(bad)
        assert all(p.tobytes() == moved.tobytes() for p in params)
        assert {held["step"] for held in optimizer.state.values()} == {1}


def test_bad_after_the_gradients_were_new_arrays(backend):
    """What was refused is not remembered: neither the bad one nor the good ones beside it."""
    pair = Pair()
    for _ in range(3):
        fresh = pair.good()
        with pair.refuses(ValueError, "gradient of params[0]"):
            pair.optimizer.step([fresh[0].T, *fresh[1:]])
        fresh = pair.good()
        with pair.refuses(ValueError, "gradient of params[4]"):
            pair.optimizer.step([*fresh[:4], fresh[4].T])


def test_a_rest_is_not_remembered_when_another_gradient_is_refused(backend):
    pair = Pair()
    held = gradients(7)  # the same objects before and after
    for optimizer in (pair.optimizer, pair.twin):
        optimizer.step(held)
    with pytest.raises(ValueError, match=r"gradient of params\[4\]"):
        pair.optimizer.step([None, *held[1:4], held[4].T])
    for optimizer in (pair.optimizer, pair.twin):
        optimizer.step(held)
    assert everything(pair.optimizer, pair.params) == everything(pair.twin, pair.twins)


# --- memory that is written to --------------------------------------------------------------------


GAP = 32


def in_arena(seed):
    """Arrays in one piece of memory, with gaps in which a gradient has room."""
    flat = arrays(seed)
    arena = np.ones(GAP + sum(a.size + GAP for a in flat), np.float32)
    placed, begin = [], GAP
    for array in flat:
        placed.append(arena[begin : begin + array.size].reshape(array.shape))
        placed[-1][...] = array
        begin += array.size + GAP
    return placed


def at(params, place, shift):
    """A gradient for the last parameter that begins ``shift`` elements behind another's."""
    begin = GAP + sum(p.size + GAP for p in params[:place]) + shift
    return params[place].base[begin : begin + 24].reshape(2, 3, 4)


SHARED = {
    "its parameter": (lambda p, s: p[4], "params[4]"),
    "its parameter, reversed": (lambda p, s: p[4][::-1], "params[4]"),
    "its parameter, as another order": (lambda p, s: p[4].reshape(4, 3, 2).T, "params[4]"),
    "its last element": (lambda p, s: at(p, 4, 23), "params[4]"),
    "its first element": (lambda p, s: at(p, 4, -23), "params[4]"),
    "another parameter": (lambda p, s: at(p, 1, -5), "params[1]"),
    "the last element of another": (lambda p, s: at(p, 2, 16), "params[2]"),
    "the first element of another": (lambda p, s: at(p, 0, -23), "params[0]"),
    "its state": (lambda p, s: s[4]["exp_avg"], "state 'exp_avg' of params[4]"),
    "its other state": (lambda p, s: s[4]["exp_avg_sq"].view(), "state 'exp_avg_sq'"),
    "its state, reversed": (lambda p, s: s[4]["exp_avg"][:, ::-1], "state 'exp_avg'"),
}


@pytest.mark.parametrize("case", SHARED)
def test_a_gradient_in_memory_that_the_step_writes(backend, case):
    share, said = SHARED[case]
    pair = Pair(seen=in_arena)
    grads = pair.good()
    grads[4] = share(pair.params, pair.optimizer.state)
    with pair.refuses(ValueError, "gradient of params[4]: overlaps", said, "in memory"):
        pair.optimizer.step(grads)


def test_a_gradient_beside_the_memory_that_the_step_writes_is_fine(backend):
    """From the byte behind one parameter to the byte before the next."""
    pair = Pair(seen=in_arena)
    for place, shift in ((0, -24), (0, 15), (3, -24), (3, 0), (4, -24), (4, 24)):
        grads = pair.good()
        grads[4] = at(pair.params, place, shift)
        assert (grads[4] == 1).all()
        pair.optimizer.step(grads)
        pair.twin.step([*pair.good()[:4], np.ones((2, 3, 4), np.float32)])
    assert everything(pair.optimizer, pair.params) == everything(pair.twin, pair.twins)


def test_a_gradient_over_a_state_that_has_just_been_made(backend):
    """The states of the first step are known at the second, those of a load as well."""
    pair = Pair(steps=1)
    for _ in range(2):
        grads = pair.good()
        grads[2] = pair.optimizer.state[2]["exp_avg"]
        with pair.refuses(ValueError, "gradient of params[2]: overlaps state"):
            pair.optimizer.step(grads)
        pair.optimizer.load_state_dict(pair.optimizer.state_dict())


def test_a_gradient_over_a_parameter_that_is_not_the_nearest(backend):
    """One with gaps reaches far; another that begins between its elements hides it from nobody."""
    memory = np.zeros(24, np.float32)
    optimizer = gpuopt.SGD([memory[::2], memory[1:5:2]], lr=1.0)
    with pytest.raises(ValueError, match=r"gradient of params\[1\]: overlaps params\[0\]"):
        optimizer.step([np.ones(12, np.float32), memory[6:8]])
    assert not memory.any()
    optimizer.step([np.ones(12, np.float32), memory[7:10:2]])
    assert memory[::2].tolist() == [-1] * 12


def test_a_gradient_between_the_elements_of_a_parameter_is_fine(backend):
    memory = np.zeros((6, 2), np.float32)
    memory[:, 1] = [1, 2, 3, 4, 5, 6]
    gpuopt.SGD([memory[:, 0]], lr=1.0).step([memory[:, 1]])
    assert memory.tolist() == [[-i, i] for i in range(1, 7)]


def test_gradients_may_share_memory_with_each_other_and_be_read_only(backend):
    """They are only read: one array for two parameters, a broadcast one, a frozen one."""
    grad = np.arange(6, dtype=np.float32)
    grad.flags.writeable = False
    params = [np.zeros(6, np.float32) for _ in range(4)]
    gpuopt.SGD(params, lr=1.0).step([grad, grad, grad[::-1], np.broadcast_to(np.float32(2), (6,))])
    assert params[0].tolist() == params[1].tolist() == [0, -1, -2, -3, -4, -5]
    assert params[2].tolist() == [-5, -4, -3, -2, -1, 0]
    assert params[3].tolist() == [-2] * 6


# --- structures ---------------------------------------------------------------------------------


def shown(structure):
    """What each structure calls what it expects."""
    return {"dict": "a dict of gradients", "groups": "a list of 3 groups of gradients"}.get(
        structure, "a list of 5 gradients"
    )


@pytest.mark.parametrize("structure", ["list", "dict", "groups"])
@pytest.mark.parametrize(
    ("grads", "said"),
    [
        (None, "NoneType"),
        (np.zeros((5, 3, 5), np.float32), "ndarray"),
        ("grads", "str"),
        ((g for g in ()), "generator"),
        (1.0, "float"),
        ({1, 2, 3, 4, 5}, "set"),
    ],
)
def test_gradients_that_come_as_something_else(numpy_backend, structure, grads, said):
    pair = Pair(structure)
    with pair.refuses(TypeError, "grads: expected", shown(structure), f"got {said}"):
        pair.optimizer.step(grads)


def test_gradients_in_the_structure_of_another_optimizer(numpy_backend):
    for ours in ("list", "dict", "groups"):
        for other in ("list", "dict", "groups"):
            if other != ours:
                pair = Pair(ours)
                error = (
                    ValueError
                    if (ours, other)
                    in (
                        ("list", "groups"),
                        ("groups", "list"),
                    )
                    else TypeError
                )
                with pair.refuses(error, "grads: expected"):
                    pair.optimizer.step(STRUCTURES[other].grads(gradients(0)))


@pytest.mark.parametrize("count", [0, 1, 4, 6])
def test_a_wrong_count_of_gradients(backend, count):
    pair = Pair()
    grads = [*pair.good(), np.zeros(1, np.float32)][:count]
    with pair.refuses(ValueError, f"grads: expected 5 gradients, got {count}"):
        pair.optimizer.step(grads)


def test_a_wrong_count_in_a_group(backend):
    pair = Pair("groups")
    grads = pair.good()
    with pair.refuses(ValueError, "grads[2]: expected 2 gradients, got 1"):
        pair.optimizer.step([*grads[:2], grads[2][:1]])
    with pair.refuses(ValueError, "grads: expected a list of 3 groups of gradients", "list of 2"):
        pair.optimizer.step(grads[:2])


def test_a_group_as_something_else(backend):
    pair = Pair("groups")
    grads = pair.good()
    with pair.refuses(TypeError, "grads[0]: expected a list of 1 gradient, got ndarray"):
        pair.optimizer.step([grads[0][0], *grads[1:]])
    with pair.refuses(TypeError, "grads[1]: expected a dict of gradients, got a list of 2"):
        pair.optimizer.step([grads[0], list(grads[1].values()), grads[2]])
    with pair.refuses(TypeError, "grads[2]: expected a list of 2 gradients, got NoneType"):
        pair.optimizer.step([*grads[:2], None])
    with pair.refuses(TypeError, "grads[0]: expected a list of 1 gradient, got a dict of 1"):
        pair.optimizer.step([{"params": grads[0]}, *grads[1:]])


def test_missing_and_unknown_keys(backend):
    pair = Pair("dict")
    grads = pair.good()
    without = {key: value for key, value in grads.items() if key != "layer.3"}
    with pair.refuses(ValueError, "grads", "missing ['layer.3']", "unknown []", "no gradient"):
        pair.optimizer.step(without)
    with pair.refuses(ValueError, "grads", "missing []", "unknown ['other']"):
        pair.optimizer.step({**grads, "other": grads["layer.0"]})
    with pair.refuses(ValueError, "grads", "missing ['layer.3']", "unknown ['layer.03']"):
        pair.optimizer.step({**without, "layer.03": grads["layer.3"]})
    with pair.refuses(ValueError, "grads", "missing", "unknown [0, 1, 2, 3, 4]"):
        pair.optimizer.step(dict(enumerate(grads.values())))


def test_missing_and_unknown_keys_of_a_group(numpy_backend):
    pair = Pair("groups")
    grads = pair.good()
    with pair.refuses(ValueError, "grads[1]", "missing ['layer.1']"):
        pair.optimizer.step([grads[0], {"layer.0": grads[1]["layer.0"]}, grads[2]])


# --- torch ----------------------------------------------------------------------------------


def test_tensors_that_are_no_gradients(backend):
    torch = pytest.importorskip("torch")
    pair = Pair()
    good = torch.from_numpy(pair.good()[4])
    for tensor, error, words in (
        (good.int(), TypeError, (FLOATS, "torch.int32")),
        (good.to_sparse(), TypeError, ("a dense tensor", "torch.sparse_coo")),
        (good.to(torch.float8_e4m3fn), TypeError, (FLOATS, "torch.float8_e4m3fn")),
        (good.to("meta"), TypeError, ("a CPU or CUDA tensor", "meta")),
        (torch._neg_view(good.flatten()), ValueError, ("(2, 3, 4)", "(24,)")),
        (good.permute(2, 1, 0), ValueError, ("(2, 3, 4)", "(4, 3, 2)")),
        (good.flatten(), ValueError, ("(2, 3, 4)", "(24,)")),
    ):
        with pair.refuses(error, "gradient of params[4]", *words):
            pair.optimizer.step([*pair.good()[:4], tensor])


def test_tensors_of_a_model_are_not_moved_by_a_bad_gradient(backend):
    """Some weights moved before a bad gradient was refused (torch 2.13, AdamW)."""
    torch = pytest.importorskip("torch")
    params = [torch.from_numpy(a) for a in arrays(0)]
    optimizer = gpuopt.AdamW(params)
    optimizer.step([torch.from_numpy(g) for g in gradients(0)])
    before = everything(optimizer, params)
    versions = [p._version for p in params]
    bad = [torch.from_numpy(g) for g in gradients(1)]
    bad[-1] = bad[-1].to_sparse()
    with pytest.raises(TypeError, match=r"gradient of params\[4\]"):
        optimizer.step(bad)
    assert everything(optimizer, params) == before
    assert [p._version for p in params] == versions


def test_a_gradient_whose_tensor_became_another(backend):
    """The same object, with other data: it is described anew, and refused where it must be."""
    torch = pytest.importorskip("torch")
    param = np.zeros(3, np.float32)
    grad = torch.ones(3)
    optimizer = gpuopt.SGD([param], lr=1.0)
    optimizer.step([grad])
    held = grad.data
    for data, error in (
        (torch.ones(4), ValueError),
        (torch.ones(3, dtype=torch.float8_e4m3fn), TypeError),
        (torch.from_numpy(param), ValueError),
    ):
        grad.data = data
        with pytest.raises(error, match=r"gradient of params\[0\]"):
            optimizer.step([grad])
        assert param.tolist() == [-1, -1, -1]
    grad.data = held
    optimizer.step([grad])
    assert param.tolist() == [-2, -2, -2]


def test_a_parameter_that_came_to_lie_on_a_gradient(backend):
    torch = pytest.importorskip("torch")
    param, grad = torch.zeros(3), torch.ones(3)
    optimizer = gpuopt.SGD([param], lr=1.0)
    optimizer.step([grad])
    held = param.data
    param.data = grad.data
    with pytest.raises(ValueError, match=r"gradient of params\[0\]: overlaps params\[0\]"):
        optimizer.step([grad])
    assert grad.tolist() == [1, 1, 1]
    param.data, grad.data = grad.data, held  # the two change places: nothing is shared
    optimizer.step([grad])
    assert param.tolist() == [2, 2, 2]
