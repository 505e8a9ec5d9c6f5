"""Parameters that cannot be updated are refused by name when the optimizer is made."""

import copy
import pickle

import numpy as np
import pytest

import gpuopt
from tests.helpers.optimizers import OPTIMIZERS, Pair, arrays, frozen, gradients, make

FLOATS = "float64, float32, float16, bfloat16"


def good():
    return np.ones((3, 4), np.float32)


def read_only():
    array = good()
    array.flags.writeable = False
    return array


WRONG_KINDS = {
    "int": (lambda: np.ones((3, 4), np.int64), "int64"),
    "bool": (lambda: np.ones((3, 4), bool), "bool"),
    "complex": (lambda: np.ones((3, 4), np.complex64), "complex64"),
    "object": (lambda: np.full((3, 4), 1.0, object), "dtype('O')"),
    "text": (lambda: np.full((3, 4), "1.0"), "<U3"),
    "structured": (lambda: np.zeros(3, [("a", "f4"), ("b", "f4")]), "'a'"),
    "non-native": (lambda: np.ones((3, 4), np.dtype("f4").newbyteorder()), ">f4"),
    "datetime": (lambda: np.zeros(3, "M8[s]"), "M8[s]"),
}
if np.dtype(np.longdouble).itemsize > 8:
    WRONG_KINDS["longdouble"] = (lambda: np.ones((3, 4), np.longdouble), "dtype('float1")


@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_elements_that_are_no_floats(kind):
    array, said = WRONG_KINDS[kind][0](), WRONG_KINDS[kind][1]
    before = array.tobytes() if array.dtype != object else array.tolist()
    with pytest.raises(TypeError) as caught:
        gpuopt.Adam([good(), array])
    for word in ("params[1]", said, FLOATS):
        assert word in str(caught.value)
    assert before == (array.tobytes() if array.dtype != object else array.tolist())


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (1.0, "float"),
        (np.float32(1), "float32"),
        (None, "NoneType"),
        ([1.0, 2.0], "list"),
        ("text", "str"),
        ({"a": 1}, "dict"),
        (np, "module"),
    ],
)
def test_things_that_are_no_arrays(array, said):
    with pytest.raises(TypeError) as caught:
        gpuopt.Adam({"good": good(), "bad": array})
    for word in ("params['bad']", said, "NumPy array", "torch tensor", "DLPack"):
        assert word in str(caught.value)


def test_a_masked_array():
    with pytest.raises(TypeError, match=r"params\[0\]: expected a plain array, got a masked array"):
        gpuopt.Adam([np.ma.masked_array(good(), mask=False)])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_read_only_array(place):
    params = [good(), good(), good()]
    params[place] = read_only()
    with pytest.raises(ValueError, match=rf"params\[{place}\]: the array is read-only"):
        gpuopt.Adam(params)
    params[place] = np.broadcast_to(np.float32(1), (3, 4))
    with pytest.raises(ValueError, match=rf"params\[{place}\]: the array is read-only"):
        gpuopt.Adam(params)


def test_an_array_whose_elements_overlap():
    rows = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (3, 2), (4, 4))
    same = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (3,), (0,))
    for array in (rows, same):
        with pytest.raises(ValueError, match=r"params\[1\]: elements of the array overlap"):
            gpuopt.Adam([good(), array])


def test_an_array_whose_strides_are_no_multiples_of_its_elements():
    array = np.zeros(3, [("a", "f4"), ("b", "i1")])["a"]
    with pytest.raises(ValueError, match=r"params\[1\]: strides \(5,\) are not multiples of 4"):
        gpuopt.Adam([good(), array])


# --- sharing memory -----------------------------------------------------------------------------

whole = np.zeros(12, np.float32)

SHARING = {
    "twice": (whole, whole, "are the same array"),
    "a view of all": (whole, whole[:], "are the same array"),
    "reversed": (whole, whole[::-1], "overlap in memory"),
    "reshaped": (whole, whole.reshape(3, 4), "overlap in memory"),
    "a part": (whole, whole[4:5], "overlap in memory"),
    "one element": (whole[:5], whole[4:], "overlap in memory"),
    "as another dtype": (whole, whole.view(np.float64), "overlap in memory"),
    "interleaved, meeting": (whole[::2], whole[::3], "overlap in memory"),
    "columns": (whole.reshape(3, 4)[:, :2], whole.reshape(3, 4)[:, 1:], "overlap in memory"),
}


@pytest.mark.parametrize("case", SHARING)
def test_arrays_that_share_memory(case):
    """One parameter listed twice: a race in a single launch (torch only warns)."""
    first, second, said = SHARING[case]
    for params, names in (
        ([first, second], ("params[0]", "params[1]")),
        ([second, good(), first], ("params[0]", "params[2]")),
        ({"a": first, "b": second}, ("params['a']", "params['b']")),
        (
            [{"params": [first]}, {"params": {"b": second}}],
            ("params[0]['params'][0]", "params[1]['params']['b']"),
        ),
    ):
        with pytest.raises(ValueError) as caught:
            gpuopt.Adam(params)
        for word in (*names, said):
            assert word in str(caught.value)
    assert not whole.any()


def test_an_empty_array_twice():
    array = np.zeros((0, 3), np.float32)
    with pytest.raises(ValueError, match=r"params\[0\] and params\[2\] are the same array"):
        gpuopt.Adam([array, good(), array])


def test_arrays_that_lie_between_each_other_are_fine(backend):
    """Neighbours, interleaved slices, columns: none has a byte in common with another."""
    memory = np.zeros((4, 6), np.float32)
    params = [memory[0], memory[1, ::2], memory[1, 1::2], memory[2:, :2], memory[2:, 2:]]
    gpuopt.SGD(params, lr=1.0).step([np.full_like(p, i + 1) for i, p in enumerate(params)])
    assert memory.tolist() == [
        [-1] * 6,
        [-2, -3] * 3,
        [-4, -4, -5, -5, -5, -5],
        [-4, -4, -5, -5, -5, -5],
    ]


# --- structures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "said"),
    [
        (good(), TypeError, "params: expected a list or a dict of arrays, got ndarray"),
        (None, TypeError, "params: expected a list or a dict of arrays, got NoneType"),
        (1.0, TypeError, "params: expected a list or a dict of arrays, got float"),
        ("ab", TypeError, "params: expected a list or a dict of arrays, got str"),
        (b"ab", TypeError, "params: expected a list or a dict of arrays, got bytes"),
        ({1.0, 2.0}, TypeError, "params: expected a list or a dict of arrays, got set"),
        ([], ValueError, "params: expected at least one array, got none"),
        ({}, ValueError, "params: expected at least one array, got none"),
        (iter(()), ValueError, "params: expected at least one array, got none"),
        ({0: good()}, TypeError, "params: expected names as keys, got 0"),
        ([[good()]], TypeError, "params[0]: expected a NumPy array"),
        ({"params": [good()]}, TypeError, "params['params']: expected a NumPy array"),
        ([{"params": [good()]}, good()], TypeError, "params[1]: expected a group"),
        ([good(), {"params": [good()]}], TypeError, "params[0]: expected a group"),
        ([{"lr": 1.0}], TypeError, "params[0]: expected a group, a dict with 'params'"),
        ([{"params": []}], ValueError, "params[0]['params']: expected at least one array"),
        ([{"params": good()}], TypeError, "params[0]['params']: expected a list or a dict"),
        ([{"params": None}], TypeError, "params[0]['params']: expected a list or a dict"),
        ([{"params": {0: good()}}], TypeError, "params[0]['params']: expected names as keys"),
        (
            [{"params": {"a": good()}}, {"params": {"a": good()}}],
            ValueError,
            "params: the name 'a' is given twice",
        ),
        (
            [{"params": [good()]}, {"params": {"0": good()}}],
            ValueError,
            "params: the name '0' is given twice",
        ),
        ([{"params": [good()], "rate": 1}], TypeError, "unknown option 'rate': expected one of lr"),
        ([{"params": [good()], "weight_decy": 1}], TypeError, "did you mean weight_decay?"),
        ([{"params": [good()], "name": "w"}], TypeError, "unknown option 'name'"),
    ],
)
def test_structures_that_are_none(params, error, said):
    with pytest.raises(error) as caught:
        gpuopt.Adam(params)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_refuses_them_and_leaves_the_others_usable(backend, name):
    params = arrays(0)
    for bad in (read_only(), good().astype(int), params[0]):
        with pytest.raises((TypeError, ValueError)):
            make(name, [*params, bad])
    assert [frozen(p) for p in params] == [frozen(p) for p in arrays(0)]
    optimizer = make(name, params)
    for step in range(2):  # the first of ADOPT leaves the parameters as they are
        optimizer.step(gradients(step))
    assert frozen(params[0]) != frozen(arrays(0)[0])


# --- torch ----------------------------------------------------------------------------------


def test_tensors_that_cannot_be_updated():
    torch = pytest.importorskip("torch")
    base = torch.zeros(3, 4)
    for tensor, said in (
        (torch.zeros(3, 4, dtype=torch.int32), f"expected one of {FLOATS}, got torch.int32"),
        (torch.zeros(3, 4, dtype=torch.complex64), "got torch.complex64"),
        (torch.zeros(3, 4, dtype=torch.float8_e4m3fn), "got torch.float8_e4m3fn"),
        (base.to_sparse(), "expected a dense tensor, got layout torch.sparse_coo"),
        (torch.zeros(3, 4, device="meta"), "expected a CPU or CUDA tensor, got one on meta"),
        (torch.zeros(2, dtype=torch.complex64).conj().imag, "got a negated view"),
    ):
        with pytest.raises(TypeError) as caught:
            gpuopt.Adam([base, tensor])
        assert "params[1]: " in str(caught.value)
        assert said in str(caught.value)


def test_tensors_that_share_memory():
    torch = pytest.importorskip("torch")
    base = torch.zeros(3, 4)
    for params, said in (
        ([base, base], r"params\[0\] and params\[1\] are the same array"),
        ([base, base.t()], r"params\[0\] and params\[1\] overlap in memory"),
        ([base, base.numpy()], r"params\[0\] and params\[1\] are the same array"),
        ([base[0], base.expand(2, 3, 4)], r"params\[1\]: elements of the array overlap"),
    ):
        with pytest.raises(ValueError, match=said):
            gpuopt.Adam(params)


def test_a_parameter_that_became_another_array():
    """What a tensor turned into is checked again; the optimizer stays usable."""
    torch = pytest.importorskip("torch")
    tensor, other = torch.zeros(3), torch.zeros(3)
    optimizer = gpuopt.SGD([tensor, other], lr=1.0)
    optimizer.step([torch.ones(3), torch.ones(3)])
    held = tensor.data
    for data, error, said in (
        (torch.zeros(4), ValueError, r"params\[0\]: was of shape \(3,\) on cpu, is now of shape"),
        (torch.zeros(3, dtype=torch.float8_e4m3fn), TypeError, r"params\[0\]: expected one of"),
        (torch.zeros(1).expand(3), ValueError, r"params\[0\]: elements of the array overlap"),
        (other.data, ValueError, r"params\[0\] and params\[1\] are the same array"),
    ):
        tensor.data = data
        with pytest.raises(error, match=said):
            optimizer.step([torch.ones(3), torch.ones(3)])
        assert other.tolist() == [-1, -1, -1]
        assert [s["step"] for s in optimizer.state.values()] == [1, 1]
    tensor.data = held
    optimizer.step([torch.ones(3), torch.ones(3)])
    assert tensor.tolist() == other.tolist() == [-2, -2, -2]


def test_a_parameter_that_came_to_lie_on_a_state(backend):
    torch = pytest.importorskip("torch")
    param = torch.zeros(3)
    optimizer = gpuopt.Momentum([param], lr=1.0, beta=0.5)
    optimizer.step([torch.ones(3)])
    held = param.data
    param.data = optimizer.state[0]["momentum_buffer"]
    with pytest.raises(ValueError, match=r"params\[0\] and state .* are the same array"):
        optimizer.step([torch.ones(3)])
    assert param.tolist() == [1, 1, 1]
    param.data = held
    optimizer.step([torch.ones(3)])
    assert param.tolist() == [-2.5, -2.5, -2.5]


# --- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("steps", [0, 2])
def test_an_optimizer_cannot_be_duplicated(duplicate, steps, numpy_backend):
    """A copy would update the arrays of the original: it knows them by their addresses."""
    pair = Pair(steps=steps)
    with pair.refuses(TypeError, "Adam", "state_dict()"):
        duplicate(pair.optimizer)


def test_an_array_that_was_made_read_only_after_the_optimizer(backend):
    arrays = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    optimizer = gpuopt.SGD(arrays, lr=1.0)
    grads = [np.ones(3, np.float32), np.ones(3, np.float32)]
    arrays[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\]: the array is read-only"):
        optimizer.step(grads)
    assert not arrays[0].any() and not arrays[1].any()
    arrays[1].flags.writeable = True
    optimizer.step(grads)
    assert arrays[1].tolist() == [-1, -1, -1]
