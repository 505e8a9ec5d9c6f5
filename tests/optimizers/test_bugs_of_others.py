"""Bugs that other libraries had, each as a test; the docstrings say whose they were."""

import gc
import itertools
import sys

import ml_dtypes
import numpy as np
import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.bits import assert_same_bits
from tests.helpers.optimizers import (
    ON_BACKENDS,
    OPTIMIZERS,
    Foreign,
    arrays,
    everything,
    frozen,
    gradients,
    make,
    options_of,
)

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def bits(flat):
    return [frozen(array) for array in flat]


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("empty", [(0,), (0, 3), (3, 0, 2)])
def test_an_empty_array_anywhere(backend, name, empty):
    """Empty tensor first, last or alone: out of bounds, or nothing launched.

    TransformerEngine#3202, pytorch#100811, pytorch#109402.
    """
    expected = arrays(0, ((5,),))
    reference = make(name, expected)
    for step in range(2):
        reference.step(gradients(step, ((5,),)))
    for shapes in ([empty, (5,)], [(5,), empty], [empty, (5,), empty], [empty], [empty, empty]):
        params = [np.zeros(empty, np.float32) if s == empty else arrays(0, (s,))[0] for s in shapes]
        optimizer = make(name, params)
        for step in range(2):
            optimizer.step([gradients(step, (s,))[0] for s in shapes])
        for param in params:
            if param.size:
                assert_same_bits(param, expected[0], "the array beside an empty one")
        assert [held["step"] for held in optimizer.state.values()] == [2] * len(shapes)


def test_an_empty_tensor_anywhere(backend):
    """The same for tensors, whose address is null when they are empty."""
    torch = pytest.importorskip("torch")
    for shapes in ([(0,), (5,)], [(5,), (0,)], [(0,)], [(0, 3), (0,), (5,), (0,)]):
        params = [torch.ones(shape) for shape in shapes]
        optimizer = gpuopt.SGD(params, lr=1.0)
        for _ in range(2):
            optimizer.step([torch.ones(shape) for shape in shapes])
        optimizer.step([None if 0 in shape else torch.ones(shape) for shape in shapes])
        for param in params:
            assert param.flatten().tolist() == [-2] * param.numel()
        counts = [held["step"] for held in optimizer.state.values()]
        assert counts == [2 if 0 in shape else 3 for shape in shapes]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 1000])
@pytest.mark.parametrize("state_dtype", [None, "bfloat16"])
def test_bfloat16_parameters_of_any_size(backend, size, state_dtype):
    """bf16 parameters of 16 elements and more: grossly wrong momentum (torch 2.13, fused SGD)."""
    rng = np.random.default_rng(size)
    param, v = rng.standard_normal(size).astype(BFLOAT16), np.zeros(size, np.float32)
    expected = param.copy()
    optimizer = gpuopt.Momentum([param], lr=0.125, beta=0.5, state_dtype=state_dtype)
    for _ in range(3):  # every velocity is a multiple of 1/32 that bfloat16 holds
        grad = rng.integers(-4, 5, size).astype(BFLOAT16)
        optimizer.step([grad])
        v = np.float32(0.5) * v + np.float32(0.125) * grad.astype(np.float32)
        expected = (expected.astype(np.float32) - v).astype(BFLOAT16)
    assert_same_bits(param, expected)
    assert_same_bits(
        optimizer.state[0]["momentum_buffer"], v.astype(np.dtype(state_dtype or "float32"))
    )


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16], ids=str)
@pytest.mark.parametrize("size", [1, 7, 8, 15, 16, 64, 65, 20_000])
def test_every_element_of_a_16_bit_array_is_updated(backend, dtype, size):
    """Vector body skipped for fp16/bf16 while the tail works (pytorch#191763, pytorch#192545)."""
    param = np.ones(size, dtype)
    gpuopt.SGD([param], lr=0.5).step([np.ones(size, dtype)])
    assert (param.astype(np.float32) == 0.5).all()


@pytest.mark.parametrize("offset", [1, 2, 3, 5])
def test_contiguous_but_not_aligned(backend, offset):
    """Contiguous but not 16-byte aligned: fault or garbage (TensorRT-LLM#17987)."""
    memory = np.full(2000, 7, np.float32)
    param = memory[offset : offset + 1500]
    gpuopt.SGD([param], lr=1.0).step([np.arange(1501, dtype=np.float32)[1:]])
    assert (memory[:offset] == 7).all() and (memory[offset + 1500 :] == 7).all()
    assert (param == 6 - np.arange(1500)).all()


@pytest.mark.parametrize("shift", [1, 2, 4, 8])
def test_a_gradient_that_is_not_aligned_after_one_that_is(backend, shift):
    """The same at a later step: what was found out for the first is not taken for granted."""
    param, memory = np.zeros(100, np.float32), np.zeros(100 * 4 + 64, np.uint8)
    optimizer = gpuopt.SGD([param], lr=1.0)
    begin = -memory.ctypes.data % 16
    for step, offset in enumerate((begin, begin + shift, begin)):
        grad = np.ndarray(100, np.float32, memory, offset)
        grad[...] = step + np.arange(100)
        optimizer.step([grad])
        apart = "llvm+numpy" if offset % 4 != begin % 4 else "llvm"
        assert optimizer.backend == {"llvm": apart, "numpy": "numpy"}[backend]
    assert (param == -3 - 3 * np.arange(100)).all()


def test_very_many_arrays(backend):
    """21,000 parameters exhaust handles (TransformerEngine#3418)."""
    count = {"llvm": 21_000, "numpy": 2_000}[backend]  # numpy has no launch to fill
    params = [np.full(2, i, np.float32) for i in range(count)]
    optimizer = gpuopt.Momentum(params, lr=0.5)
    grads = [np.full(2, 2, np.float32) for _ in range(count)]
    for _ in range(2):
        optimizer.step(grads)
    v = np.float32(0.9) * np.float32(1) + np.float32(1)
    expected = np.repeat(np.arange(count, dtype=np.float32)[:, None] - 1 - v, 2, axis=1)
    assert (np.array(params) == expected).all()
    assert len(optimizer.state) == count


# --- steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "name", "options"), ON_BACKENDS, indirect=["backend"])
def test_a_first_gradient_at_step_two(backend, name, options):
    """A parameter whose first gradient comes at step 2 (torch 2.13 fused SGD, apex).

    TypeError, or the first-step rule misapplied: it takes its own first step then.
    """
    if DEFINITIONS[name].shared:
        pytest.skip("its arrays share numbers, and so depend on each other")
    params, expected = arrays(0), arrays(0)
    # Behind another one, as a tensor's place seeds how its states are rounded.
    optimizer, late = make(name, params, **options), make(name, expected[:2], **options)
    optimizer.step([gradients(0)[0], None, *gradients(0)[2:]])
    assert bits(params[1:2]) == bits(arrays(0)[1:2])
    for step in (1, 2):
        optimizer.step(gradients(step))
        late.step([None, gradients(step)[1]])
    assert bits(params[1:2]) == bits(expected[1:2])
    assert [held["step"] for held in optimizer.state.values()] == [3, 2, 3, 3, 3]


def test_a_gradient_that_was_freed_is_not_used_again(backend):
    """Tables keyed by address alone: stale (dion#63).

    The gradients of the step before are gone; what rests now must not be updated with them.
    """
    params = [np.zeros(4, np.float32) for _ in range(3)]
    optimizer = gpuopt.SGD(params, lr=1.0)
    optimizer.step([np.ones(4, np.float32) for _ in range(3)])
    gc.collect()
    for _ in range(3):
        optimizer.step([np.ones(4, np.float32), None, None])
    assert [p.tolist() for p in params] == [[-4] * 4, [-1] * 4, [-1] * 4]
    optimizer.step([None, np.ones(4, np.float32), None])
    assert [p.tolist() for p in params] == [[-4] * 4, [-2] * 4, [-1] * 4]
    assert [held["step"] for held in optimizer.state.values()] == [4, 2, 1]


def test_gradients_at_the_addresses_of_freed_ones(backend):
    """Tables keyed by id(): missed every step, or stale when memory comes back (dion#63)."""
    params = [np.zeros(64, np.float32) for _ in range(8)]
    expected = np.zeros(8)
    optimizer = gpuopt.SGD(params, lr=1.0)
    seen, rng = set(), np.random.default_rng(0)
    for step in range(40):
        order = rng.permutation(8)
        grads = [None] * 8
        for place in order:
            grads[place] = np.full(64, step + place, np.float32)
        seen.update(g.ctypes.data for g in grads)
        optimizer.step(grads)
        expected -= step + np.arange(8)
        del grads
    assert len(seen) < 8 * 40  # so that addresses did come back
    assert [p.tolist() for p in params] == [[e] * 64 for e in expected]


def test_another_kind_of_gradient_at_the_address_of_a_freed_one(backend):
    """Addresses alone say nothing about dtype and order: each gradient is read as what it is."""
    param = np.zeros((8, 8), np.float32)
    expected = param.copy()
    optimizer = gpuopt.SGD([param], lr=1.0)
    memory = np.zeros(8 * 8 * 8, np.uint8)
    kinds = [np.float32, np.float64, np.float16, BFLOAT16]
    for step, (kind, order) in enumerate(itertools.product(kinds, "CF")):
        grad = np.ndarray((8, 8), kind, memory, order=order)
        grad[...] = (step + np.arange(64)).reshape(8, 8)
        optimizer.step([grad])
        expected -= grad.astype(np.float32)
        assert_same_bits(param, expected, f"{kind} in {order} order")
        del grad


def test_gradients_that_are_rewritten_in_place(backend):
    """The same object with new values is the usual case; nothing may be remembered of them."""
    param, grad = np.zeros(4, np.float32), np.zeros(4, np.float32)
    optimizer = gpuopt.SGD([param], lr=1.0)
    for step in range(5):
        grad[...] = step
        optimizer.step([grad])
    assert param.tolist() == [-10] * 4


def test_gradients_that_change_places(backend):
    a, b = np.full(3, 1, np.float32), np.full(3, 2, np.float32)
    params = [np.zeros(3, np.float32) for _ in range(2)]
    optimizer = gpuopt.SGD(params, lr=1.0)
    for grads in ([a, b], [b, a], [a, a], [b, None], [None, b]):
        optimizer.step(grads)
    assert [p.tolist() for p in params] == [[-6] * 3, [-6] * 3]


def test_a_table_does_not_grow(backend):
    """Tables keyed by id() grow for ever (dion#63): gradients are not kept alive."""
    import weakref

    params = [np.zeros(1000, np.float32)]
    optimizer = gpuopt.Adam(params)
    watched = []
    for _ in range(10):
        grad = np.ones(1000, np.float32)
        watched.append(weakref.ref(grad))
        optimizer.step([grad])
        del grad
    gc.collect()
    assert [ref() for ref in watched] == [None] * 10


@pytest.mark.parametrize("start", [2**24 - 1, 2**24, 2**31 - 2, 2**31, 2**40, 2**52])
def test_steps_beyond_what_a_float32_counts(numpy_backend, start):
    """A float32 step counter stops at 2^24 (torch); an int32 one at 2^31."""
    param, grad = np.ones(1), np.ones(1)
    optimizer = gpuopt.Adagrad([param], lr=1.0, lr_decay=2.0**-24, eps=0.0)
    optimizer.step([grad])
    state_dict = optimizer.state_dict()
    state_dict["state"][0]["step"] = start
    state_dict["state"][0]["sum"][...] = 0
    optimizer.load_state_dict(state_dict)
    expected = 0.0
    for step in range(start, start + 3):
        param[...] = 0
        optimizer.state[0]["sum"][...] = 0
        optimizer.step([grad])
        expected = -1.0 / (1.0 + float(step) * 2.0**-24)
        assert param[0] == expected
    assert optimizer.state[0]["step"] == start + 3


def test_bias_corrections_at_a_beta_close_to_one(backend):
    """1 - beta^t in float32: 1.4e-3 off for 0.99999 (many). Two steps, in float64."""
    beta2 = 0.99999
    param = np.zeros(1)
    optimizer = gpuopt.Adam([param], lr=1.0, betas=(0.0, beta2), eps=0.0)
    optimizer.step([np.ones(1)])
    assert param[0] == -1.0 / (np.sqrt(1.0 - beta2) * (1.0 / np.sqrt(1.0 - beta2)))
    single = np.zeros(1, np.float32)
    optimizer = gpuopt.Adam([single], lr=1.0, betas=(0.0, beta2), eps=0.0)
    optimizer.step([np.ones(1, np.float32)])
    assert abs(single[0] + 1) <= 2 * np.finfo(np.float32).eps  # two roundings, and no more


# --- memory orders ------------------------------------------------------------------------------


def every_order(values):
    """The same values in many memory orders."""
    yield values.copy()
    yield np.asfortranarray(values)
    yield np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield np.repeat(values, 2, axis=3)[..., ::2]
    yield np.repeat(values, 3, axis=0)[::3]
    yield values[:, ::-1].copy()[:, ::-1]
    yield np.ascontiguousarray(values.transpose(3, 1, 0, 2)).transpose(2, 1, 3, 0)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_gradients_and_parameters_of_every_memory_order(backend, name):
    """channels_last gradient beside a contiguous parameter: silently wrong.

    torch 2.13 fused on CPU, bitsandbytes#1185; strided parameters or gradients: the same.
    """
    shape = ((2, 3, 4, 5),)
    expected = arrays(0, shape)
    reference = make(name, expected)
    for step in range(2):
        reference.step(gradients(step, shape))
    for i, param in enumerate(every_order(arrays(0, shape)[0])):
        for j in range(7):
            params = [list(every_order(arrays(0, shape)[0]))[i]]
            optimizer = make(name, params)
            for step in range(2):
                optimizer.step([list(every_order(gradients(step, shape)[0]))[j]])
            assert_same_bits(params[0], expected[0], f"parameter {i}, gradient {j}")
            assert params[0].strides == param.strides


def test_channels_last_tensors(backend):
    """channels_last gradient beside a contiguous parameter, and the other way round."""
    torch = pytest.importorskip("torch")
    shape = ((2, 3, 4, 5),)
    expected = arrays(0, shape)
    gpuopt.Adam(expected).step(gradients(0, shape))
    formats = (torch.contiguous_format, torch.channels_last)
    for of_param, of_grad in itertools.product(formats, formats):
        param = torch.from_numpy(arrays(0, shape)[0]).contiguous(memory_format=of_param)
        grad = torch.from_numpy(gradients(0, shape)[0]).contiguous(memory_format=of_grad)
        gpuopt.Adam([param]).step([grad])
        assert_same_bits(param, expected[0], f"{of_param}, {of_grad}")
        assert param.is_contiguous(memory_format=of_param)


def test_the_order_of_the_gradient_changes_between_steps(backend):
    shape = ((2, 3, 4, 5),)
    params, expected = arrays(0, shape), arrays(0, shape)
    optimizer, reference = gpuopt.Adam(params), gpuopt.Adam(expected)
    for step in range(7):
        optimizer.step([list(every_order(gradients(step, shape)[0]))[step]])
        reference.step(gradients(step, shape))
        assert_same_bits(params[0], expected[0], f"step {step}")


def test_what_lies_between_the_elements_is_not_touched(backend):
    """`.contiguous()` on a parameter: the in-place update is lost (axolotl#3785)."""
    memory = np.full((6, 10), 7, np.float32)
    param = memory[1:5:2, 2:8:3]
    optimizer = gpuopt.SGD([param], lr=1.0)
    optimizer.step([np.ones((2, 2), np.float32)])
    expected = np.full((6, 10), 7, np.float32)
    expected[1:5:2, 2:8:3] = 6
    assert (memory == expected).all()


# --- torch ----------------------------------------------------------------------------------


def test_version_counters(backend):
    """Version counters not bumped by an in-place update: autograd misses it.

    torch 2.13 fused Adagrad and AdamW.
    """
    torch = pytest.importorskip("torch")
    for name in OPTIMIZERS:
        moved, resting = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = make(name, [moved, resting])
        loss = (moved * moved).sum()
        versions = moved._version, resting._version
        optimizer.step([torch.ones(3), None])
        assert (moved._version, resting._version) == (versions[0] + 1, versions[1])
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_the_version_counter_of_a_slice(backend):
    """An update that takes the strided path is seen as well."""
    torch = pytest.importorskip("torch")
    whole = torch.ones(6)
    version = whole._version
    gpuopt.SGD([whole[::2]], lr=1.0).step([torch.ones(3)])
    assert whole._version == version + 1
    assert whole.tolist() == [0, 1, 0, 1, 0, 1]


def test_tensors_that_come_to_lie_elsewhere(backend):
    """Tables keyed by id(): `p.data = ...` leaves the object and moves the memory."""
    torch = pytest.importorskip("torch")
    param, grad = torch.nn.Parameter(torch.zeros(4)), torch.ones(4)
    optimizer = gpuopt.Momentum([param], lr=1.0, beta=0.5)
    optimizer.step([grad])
    old = param.data
    param.data = param.data.clone()
    grad.data = torch.full((4,), 2.0)
    optimizer.step([grad])
    assert param.tolist() == [-3.5] * 4
    assert old.tolist() == [-1] * 4


def test_a_gradient_of_torch_for_an_array_of_numpy(backend):
    """The gradient's memory moves though its object and the parameter do not."""
    torch = pytest.importorskip("torch")
    param, grad = np.zeros(4, np.float32), torch.ones(4)
    optimizer = gpuopt.SGD([param], lr=1.0)
    for value in (1.0, 2.0, 4.0):
        grad.data = torch.full((4,), value)
        optimizer.step([grad])
    assert param.tolist() == [-7] * 4


def test_the_same_address_as_another_dtype_or_order(backend):
    """By address alone a tensor that was replaced in place looks unchanged."""
    torch = pytest.importorskip("torch")
    memory = torch.zeros(9)
    param, grad = torch.zeros(3, 3), memory.view(3, 3)
    optimizer = gpuopt.SGD([param], lr=1.0)
    expected = torch.zeros(3, 3)
    for step, change in enumerate(
        (
            lambda: memory.view(3, 3),
            lambda: memory.view(3, 3).t(),
            lambda: memory.view(torch.bfloat16)[:9].view(3, 3),
            lambda: memory.view(torch.float16)[:9].view(3, 3),
            lambda: memory.view(torch.float16)[:18:2].view(3, 3),
        )
    ):
        grad.data = change()
        grad.copy_(torch.arange(9.0).view(3, 3) + step)
        optimizer.step([grad])
        expected -= grad.float()
        assert_same_bits(param, expected, f"step {step}")


def test_tensors_that_move_beside_one_that_rests(backend):
    """The same where not every gradient is there, and where arrays of NumPy are among them."""
    torch = pytest.importorskip("torch")
    params = [torch.zeros(3), np.zeros(3, np.float32), torch.zeros(3)]
    optimizer = gpuopt.SGD(params, lr=1.0)
    grads = [torch.ones(3), np.ones(3, np.float32), None]
    optimizer.step(grads)
    old = params[0].data
    params[0].data = params[0].data.clone()
    grads[0].data = torch.full((3,), 2.0)
    optimizer.step(grads)
    transposed = grads[0].data.flip(0)
    grads[0].data = transposed
    optimizer.step(grads)
    assert [p.tolist() for p in params] == [[-5] * 3, [-3] * 3, [0] * 3]
    assert old.tolist() == [-1] * 3


def test_a_gradient_that_shrank_where_it_lies(backend):
    torch = pytest.importorskip("torch")
    for others in ([], [None], [np.zeros(2, np.float32)]):
        params = [torch.zeros(3), *(np.zeros(2, np.float32) for _ in others)]
        grad = torch.ones(3)
        optimizer = gpuopt.SGD(params, lr=1.0)
        optimizer.step([grad, *others])
        grad.data = grad.data[:2]
        with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(2,\)"):
            optimizer.step([grad, *others])
        assert params[0].tolist() == [-1] * 3


def test_an_array_of_another_library_that_comes_to_lie_elsewhere(backend):
    """Nothing is known of when it moves: it is looked up at every step."""
    param, grad = Foreign(np.zeros(3, np.float32)), Foreign(np.ones(3, np.float32))
    optimizer = gpuopt.SGD([param], lr=1.0)
    optimizer.step([grad])
    old, param.values = param.values, param.values.copy()
    grad.values = np.full(3, 2, np.float32)
    optimizer.step([grad])
    assert (old.tolist(), param.values.tolist()) == ([-1] * 3, [-3] * 3)


def test_a_parameter_transposed_in_place(backend):
    torch = pytest.importorskip("torch")
    param = torch.zeros(3, 3)
    optimizer = gpuopt.Momentum([param], lr=1.0, beta=0.5)
    grad = torch.arange(9.0).view(3, 3)
    optimizer.step([grad])
    param.data = param.data.t()
    optimizer.step([grad])
    velocity = 1.5 * grad  # half of the old one, in the order in which the tensor was then
    assert_same_bits(param, (0.0 - grad).t() - velocity)


def test_a_negated_view_after_a_plain_gradient(backend):
    """Its memory holds the opposite of its values."""
    torch = pytest.importorskip("torch")
    param = torch.zeros(2)
    optimizer = gpuopt.SGD([param], lr=1.0)
    values = torch.tensor([1 + 2j, 3 + 4j])
    optimizer.step([values.imag])
    assert param.tolist() == [-2, -4]
    optimizer.step([values.conj().imag])
    assert param.tolist() == [0, 0]


# --- numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "name", "options"), ON_BACKENDS, indirect=["backend"])
def test_a_learning_rate_of_zero(backend, name, options):
    """lr = 0 gives NaN (pytorch#186444). It changes states and counts, and no parameter."""
    if name == "Rprop":
        pytest.skip("its lr is where step sizes start, and they have a smallest value")
    params = arrays(0)
    optimizer = make(name, params, **{**options, "lr": 0.0})
    optimizer.step(gradients(0))
    assert bits(params) == bits(arrays(0))
    assert {held["step"] for held in optimizer.state.values()} == {1}


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16], ids=str)
@pytest.mark.parametrize(
    ("backend", "name"),
    [("numpy", "RMSProp"), ("numpy", "Adam"), ("numpy", "AdamW"), ("llvm", "Adam")],
    indirect=["backend"],
)
def test_eps_beside_16_bit_parameters(backend, name, dtype):
    """eps underflows in fp16: 0/0 (optax#1754, chainer#6299, pytorch#147437)."""
    params = [np.ones(20, dtype)]
    optimizer = make(name, params, lr=0.5)
    optimizer.step([np.zeros(20, dtype)])
    assert not np.isnan(params[0].astype(np.float32)).any()
    small = np.full(20, 2.0**-14, dtype)  # its square is nothing in float16
    before = params[0].astype(np.float32)
    optimizer.step([small])
    assert (params[0].astype(np.float32) < before - 0.25).all()


def test_eps_is_outside_the_root_and_behind_the_correction(backend):
    """eps in the wrong place: inside the root, or before bias correction (thinc, chainer)."""
    for name, options in (("Adam", {"betas": (0.5, 0.75)}), ("RMSProp", {"beta": 0.75})):
        param = np.zeros(1)
        make(name, [param], lr=1.0, eps=3.0, **options).step([np.full(1, 4.0)])
        # Adam: m^ = 4, v^ = 16; RMSProp: s = (1-0.75) * 16 = 4
        assert param[0] == {"Adam": -4 / (4 + 3), "RMSProp": -4 / (2 + 3)}[name]


def test_the_maximum_of_amsgrad_is_kept(backend):
    """AMSGrad's maximum not written back (chainer#7661)."""
    param = np.zeros(1)
    optimizer = gpuopt.Adam([param], betas=(0.0, 0.5), amsgrad=True)
    for grad, second, largest in ((4, 8, 8), (0, 4, 8), (2, 4, 8), (8, 34, 34)):
        optimizer.step([np.full(1, grad, np.float64)])
        assert optimizer.state[0]["exp_avg_sq"][0] == second
        assert optimizer.state[0]["max_exp_avg_sq"][0] == largest


def test_a_large_gradient_long_ago_slows_amsgrad_alone(backend):
    """And what was written back is what the next step divides by."""
    moved = {}
    for amsgrad in (False, True):
        param = np.zeros(1)
        optimizer = gpuopt.Adam([param], lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=amsgrad)
        for grad in (1000.0, *[0.0] * 30):
            optimizer.step([np.full(1, grad)])
        before = param[0]
        optimizer.step([np.ones(1)])
        moved[amsgrad] = before - param[0]
    assert moved[False] > 1.0 > 0.01 > moved[True] > 0


def test_decay_of_adam_is_not_that_of_adamw(backend):
    """AdamW's decay given to Adam (FlagGems#4988)."""
    params = {}
    for name in ("Adam", "AdamW"):
        params[name] = np.full(1, 8.0)
        make(name, [params[name]], lr=0.5, eps=0.0, weight_decay=0.25).step([np.full(1, 2.0)])
    assert params["Adam"][0] == 8.0 - 0.5  # g = 2 + 0.25*8: a step of lr, whatever its size
    assert params["AdamW"][0] == 8.0 * (1 - 0.5 * 0.25) - 0.5


@pytest.mark.parametrize(
    ("backend", "name"),
    # ASGD's lambd is a decay of its own, and Rprop has none; z-y of infinite weights is NaN.
    [
        *(
            ("numpy", n)
            for n in OPTIMIZERS
            if n not in ("ASGD", "Rprop") and "ScheduleFree" not in n
        ),
        ("llvm", "AdamW"),
    ],
    indirect=["backend"],
)
def test_weight_decay_of_zero_leaves_infinite_weights_alone(backend, name):
    """`grad *= 0` keeps NaN (thinc): nothing is switched off by a multiplication with zero.

    One group decays, so that the kernel of both has the stage in it.
    """
    params = [np.float32([np.inf, -np.inf, 3e38]), np.ones(3, np.float32)]
    no_decay = {n: 0.0 for n in ("weight_decay", "weight_decay_1d") if n in options_of(name)}
    optimizer = make(
        name, [{"params": params[:1], **no_decay}, {"params": params[1:]}], weight_decay=0.5
    )
    for _ in range(2):
        optimizer.step([[np.zeros(3, np.float32)], [np.ones(3, np.float32)]])
    assert params[0].tolist() == np.float32([np.inf, -np.inf, 3e38]).tolist()


@pytest.mark.parametrize(("backend", "name", "options"), ON_BACKENDS, indirect=["backend"])
def test_a_nan_stays_where_it_is(backend, name, options):
    """`grad *= 0` keeps NaN (thinc): a bad element spoils itself, and nothing beside it."""
    if name == "Rprop":
        pytest.skip("NaN has no sign, as in torch")
    if any(rule.sums for rule in DEFINITIONS[name].all_rules):
        pytest.skip("a sum over a tensor with a NaN is NaN, as in the references")
    params, expected = arrays(0), arrays(0)
    optimizer, reference = make(name, params, **options), make(name, expected, **options)
    for step in range(3):
        grads = gradients(step)
        reference.step(grads)
        if step == 0:
            grads[2][5] = np.nan
        optimizer.step(grads)
    assert np.isnan(params[2][5])
    params[2][5] = expected[2][5]
    assert bits(params) == bits(expected)


@pytest.mark.parametrize(("backend", "name", "options"), ON_BACKENDS, indirect=["backend"])
def test_gradients_are_never_written(backend, name, options):
    """Backends with different side effects: gradients overwritten on the CPU only.

    thinc, chainer, optimi. Not in any dtype or memory order, nor by decay, scale or maximize.
    """
    shapes = ((3, 5), (3, 5), (6,))
    params = arrays(0, shapes)
    optimizer = make(name, params, **options)
    grads = gradients(0, shapes)
    grads[0], grads[1] = np.asfortranarray(grads[0]), grads[1].astype(np.float64)
    grads[2] = np.repeat(grads[2], 2)[::2]
    before = bits(grads)
    for _ in range(2):
        optimizer.step(grads, scale=4.0)
        assert bits(grads) == before


# --- compilation ------------------------------------------------------------------------------


@pytest.fixture
def compilations():
    """How often a kernel has been compiled, as a function."""
    llvm_cpu = pytest.importorskip("gpuopt.kernels.llvm.launch")
    with gpuopt.use_backend("llvm"):
        yield lambda: llvm_cpu.compile.cache_info().misses


CHANGES = {
    "lr": lambda o, step: setattr(o, "lr", 0.1 / (1 + step)),
    "weight_decay": lambda o, step: setattr(o, "weight_decay", 0.1 / (1 + step)),
    "betas": lambda o, step: setattr(o, "betas", (0.9 - step / 100, 0.9)),
    "eps": lambda o, step: setattr(o, "eps", step / 100),
    "one group": lambda o, step: o.param_groups[1].update(lr=0.1 * step, weight_decay=step / 100),
    "to zero and back": lambda o, step: o.param_groups[1].update(weight_decay=float(step % 2)),
    "maximize": lambda o, step: o.param_groups[1].update(maximize=bool(step % 2)),
    "nothing": lambda o, step: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_schedule_compiles_nothing(compilations, change):
    """A recompile at every lr or step change (FlagGems, pytorch#120934, triton#644).

    And what changed takes effect at the next step (dion#108, burn#5779: frozen into a graph).
    """
    params, expected = arrays(0), arrays(0)
    parts = [{"params": params[:2], "maximize": True}, {"params": params[2:]}]
    optimizer = gpuopt.Adam(parts, weight_decay=0.5)
    alike = [{"params": expected[:2], "maximize": True}, {"params": expected[2:]}]
    reference = gpuopt.Adam(alike, weight_decay=0.5)
    for step in range(6):
        if step == 1:
            before = compilations()
        CHANGES[change](optimizer, step)
        CHANGES[change](reference, step)
        grads = gradients(step)
        optimizer.step([grads[:2], grads[2:]])
        with gpuopt.use_backend("numpy"):
            reference.step([grads[:2], grads[2:]])
        assert everything(optimizer, params) == everything(reference, expected)
    assert compilations() == before


def test_new_gradients_rests_and_loads_compile_nothing(compilations):
    params = arrays(0)
    optimizer = gpuopt.Adam(params)
    optimizer.step(gradients(0))
    before = compilations()
    for step in range(3):
        optimizer.step([None if i == step else g for i, g in enumerate(gradients(step))])
        optimizer.load_state_dict(optimizer.state_dict())
    gpuopt.Adam(arrays(1, ((2, 2), (5,)))).step(gradients(0, ((2, 2), (5,))))
    assert compilations() == before


def test_a_changed_scale_compiles_nothing(compilations):
    optimizer = gpuopt.Adam(arrays(0))
    optimizer.step(gradients(0), scale=2.0)
    before = compilations()
    for scale in (4.0, 65536.0, 0.5, 3.0):
        optimizer.step(gradients(0), scale=scale)
    assert compilations() == before


@pytest.mark.parametrize("cls", [gpuopt.Adam, gpuopt.AdamW])
def test_options_that_become_neutral_compile_nothing(compilations, cls):
    """A decay of 0 and a scale of 1 are numbers of the kernel that there is, with the same bits."""
    params, expected = arrays(0), arrays(0)
    optimizer, reference = cls(params, weight_decay=0.5), cls(expected, weight_decay=0.5)
    optimizer.step(gradients(0), scale=2.0)
    before = compilations()
    with gpuopt.use_backend("numpy"):
        reference.step(gradients(0), scale=2.0)
    for step, (decay, scale) in enumerate([(0.0, 2.0), (0.5, 1.0), (0.0, 1.0)], 1):
        optimizer.weight_decay = decay
        optimizer.step(gradients(step), scale=scale)
        new = cls(expected, weight_decay=decay)  # without the stages of earlier steps
        new.load_state_dict(reference.state_dict())
        new.weight_decay = decay
        with gpuopt.use_backend("numpy"):
            new.step(gradients(step), scale=scale)
        reference = new
        assert everything(optimizer, params) == everything(reference, expected)
    assert compilations() == before


def calls_of_a_step(arrays):
    params = [np.zeros(16, np.float32) for _ in range(arrays)]
    grads = [np.ones(16, np.float32) for _ in range(arrays)]
    optimizer = gpuopt.Adam(params)
    optimizer.step(grads)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        optimizer.step(grads)
    finally:
        sys.setprofile(None)
    return calls


def test_the_host_work_of_a_step_grows_with_the_arrays_and_no_faster(backend):
    """Calls of Python, not seconds: a busy machine does not change them."""
    assert calls_of_a_step(1000) < 12 * calls_of_a_step(100)
