"""The training tail on the devices: the bits of NumPy, and sums that are the same every time."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
from gpuopt.kernels.device_total import DeviceTotal

import gpuopt
from tests.helpers.tensors import torch
from tests.tolerances import assert_close

SIZES = (5, 8192, 20001, 0, 1)
NARROW = ("", "master_weights", "stochastic_rounding", "kahan_sum")
AROUND = {
    "ema": {"ema_decay": 0.9},
    "clip": {"clip_norm": 1.0, "clip_value": 0.01},
    "stats": {"stats": True, "eps": 0.0},  # what is no element would be NaN
    "zero_grads": {"zero_grads": True},
    "cautious": {
        **{"cautious": True, "cautious_weight_decay": True},
        **{"weight_decay": 0.5, "decoupled_weight_decay": True},
    },
    "cautious decay": {
        **{"cautious_weight_decay": True, "weight_decay": 0.5, "decoupled_weight_decay": True},
    },
    "skip": {"skip_nonfinite": True, "zero_grads": True},
    "all": {
        "ema_decay": 0.9,
        "clip_norm": 1.0,
        "stats": True,
        "zero_grads": True,
        "skip_nonfinite": True,
    },
}


def drawn(seed, dtype, shift=0, stride=1):
    """A tensor of each size; so many elements behind what is aligned, and so far apart."""
    rng = np.random.default_rng(seed)
    wide = [rng.standard_normal(n * stride + shift).astype(np.float32) for n in SIZES]
    return [torch.tensor(values).to(dtype)[shift::stride] for values in wide]


def trained(backend, dtype, options, steps=4, **layout):
    """What four steps leave: one of them may be skipped, and in one a tensor rests."""
    params = drawn(0, dtype, **layout)
    given = []
    with gpuopt.use_backend(backend):
        groups = [{"params": params[:2], "lr": 0.05}, {"params": params[2:]}]
        optimizer = gpuopt.Adam(groups, lr=0.1, **options)
        for step in range(steps):
            grads = drawn(step + 1, dtype, **layout)
            if step == 1 and options.get("skip_nonfinite"):
                grads[2][77] = float("inf") if dtype != torch.float16 else float("nan")
            grads[1] = None if step == 2 else grads[1]
            optimizer.step([grads[:2], grads[2:]])
            given += [grad for grad in grads if grad is not None]
        state = optimizer.state_dict()
        stats = optimizer.stats() if options.get("stats") else None
        skipped = optimizer.skipped_steps if options.get("skip_nonfinite") else 0
        norm = optimizer.grad_norm if optimizer.tail.measures else 0.0
    return params, given, state, stats, skipped, norm


def leaves(state):
    """The arrays in a nest of dicts and lists, and its numbers."""
    if isinstance(state, dict):
        return [leaf for value in state.values() for leaf in leaves(value)]
    if isinstance(state, (list, tuple)):
        return [leaf for value in state for leaf in leaves(value)]
    return [state]


def assert_same(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        if torch.is_tensor(a):
            bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
            assert torch.equal(a.view(bits), b.view(bits))
        elif isinstance(a, np.ndarray):
            assert a.tobytes() == b.tobytes()
        else:
            assert a == b


def check(backend, dtype, options, **layout):
    wanted, found = (trained(b, dtype, options, **layout) for b in ("numpy", backend))
    assert_same(wanted[:3], found[:3])
    assert wanted[4] == found[4] == bool(options.get("skip_nonfinite"))
    assert_close(found[5], wanted[5], "sum in another order")
    for place, one in (wanted[3] or {}).items():
        assert_close(tuple(one), tuple(found[3][place]), "sum in another order")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_every_combination(device, dtype, narrow, around):
    options = {**AROUND[around], **({narrow: True} if narrow else {})}
    check(device, getattr(torch, dtype), options)


@pytest.mark.parametrize("narrow", ["master_weights", "stochastic_rounding"])
@pytest.mark.parametrize("state_dtype", ["bfloat16", "float16"])
def test_states_in_16_bits(device, state_dtype, narrow):
    options = {"state_dtype": state_dtype, "seed": 5, narrow: True}
    check(device, torch.bfloat16, {**AROUND["all"], **options})


@pytest.mark.parametrize("state_dtype", ["bfloat16", "float16"])
def test_states_in_16_bits_beside_float64(device, state_dtype):
    check(device, torch.float64, {"ema_decay": 0.9, "state_dtype": state_dtype})


@pytest.mark.every_arch
def test_sums_and_maxima_on_every_architecture(device):
    """Which instructions a warp has for them depends on it."""
    check(device, torch.float32, AROUND["all"])


@pytest.mark.parametrize("narrow", NARROW)
def test_misaligned_tensors(device, narrow):
    check(device, torch.bfloat16, {**AROUND["all"], **({narrow: True} if narrow else {})}, shift=1)


@pytest.mark.parametrize("around", ["all", "skip"])
def test_tensors_with_gaps(device, around):
    """Their copies are updated, whose gradients a skipped step zeroes, too."""
    check(device, torch.bfloat16, {**AROUND[around], "kahan_sum": True}, stride=2)


@pytest.mark.parametrize("around", ["ema", "stats", "skip"])
def test_float64(device, around):
    """Without a norm, of which the last bit of 53 depends on the order of its sum."""
    check(device, torch.float64, AROUND[around])


def test_gradients_of_a_skipped_step_are_zeroed_and_the_partials_of_the_last_one_stay(device):
    params = drawn(0, torch.float32)
    options = {"stats": True, "zero_grads": True, "skip_nonfinite": True}
    with gpuopt.use_backend(device):
        optimizer = gpuopt.SGD(params, lr=0.1, **options)
        optimizer.step(drawn(1, torch.float32))
        before, kept = optimizer.stats(), [param.clone() for param in params]
        grads = drawn(2, torch.float32)
        grads[0][3] = float("nan")
        optimizer.step(grads)
        after = optimizer.stats()
    assert all(torch.equal(p, k) for p, k in zip(params, kept))
    assert not any(grad.any() for grad in grads)
    assert before.keys() == after.keys()
    assert all(before[i].update_norm == after[i].update_norm for i in before)
    assert (after[0].grad_nonfinite, after[1].grad_nonfinite) == (1, 0)


def test_skipped_steps_are_counted_when_tables_are_built_anew(device):
    params = drawn(0, torch.float32)
    bad = [torch.full_like(param, float("inf")) for param in params]
    with gpuopt.use_backend(device):
        optimizer = gpuopt.SGD(params, lr=0.1, skip_nonfinite=True)
        for kept in itertools.chain(range(3), range(3)):
            optimizer.step([bad[i] if i >= kept else None for i in range(len(bad))])
        assert optimizer.skipped_steps == 6
        optimizer.step(drawn(2, torch.float32))
        assert optimizer.skipped_steps == 6
        optimizer.load_state_dict(optimizer.state_dict())
        assert optimizer.skipped_steps == 6
        optimizer.step(bad)
        assert optimizer.skipped_steps == 7
        optimizer.load_state_dict(gpuopt.SGD(params, lr=0.1).state_dict())
        assert optimizer.skipped_steps == 0


@pytest.mark.parametrize("options", [{}, {"clip_norm": 9.0}, {"skip_nonfinite": True}], ids=str)
def test_a_number_skips_the_step_that_it_is_given_to(device, options, monkeypatch):
    monkeypatch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
    param, moved = torch.zeros(8), 0
    with gpuopt.use_backend(device):
        optimizer = gpuopt.SGD([param], lr=1.0, **options)
        for number in (None, 3.0, None, 0.0, float("inf"), None):
            skip = None if number is None else torch.tensor(number)
            optimizer._fused.run([torch.ones(8)], optimizer._groups(1.0), skip)
            moved -= not number
            assert param.tolist() == [moved] * 8
        assert optimizer._fused.norm.skipped() == 2


def test_what_rests_after_fresh_states_were_loaded_has_none(any_backend):
    """Its average begins at the weights of the step that updates it again."""
    params = drawn(0, torch.float32)
    with gpuopt.use_backend(any_backend):
        optimizer = gpuopt.SGD(params, lr=0.1, ema_decay=0.5)
        fresh = optimizer.state_dict()
        optimizer.step(drawn(1, torch.float32))
        optimizer.load_state_dict(fresh)
        optimizer.step([None, *drawn(2, torch.float32)[1:]])
        assert optimizer.state.keys() == {1, 2, 3, 4}
        params[0].fill_(7.0)
        optimizer.step([torch.zeros(5), *drawn(3, torch.float32)[1:]])
        assert optimizer.ema[0].tolist() == [7.0] * 5


def test_nothing_waits_for_the_device(device, monkeypatch):
    """But what asks for numbers."""
    params = drawn(0, torch.float32)
    with gpuopt.use_backend(device):
        optimizer = gpuopt.SGD(params, lr=0.1, **AROUND["all"])
        optimizer.step(drawn(1, torch.float32))
        monkeypatch.setattr(DeviceTotal, "read", None)
        monkeypatch.setattr(DeviceTotal, "read_skipped", None)
        optimizer.step(drawn(2, torch.float32))


@pytest.mark.parametrize("skip", [0.0, 1.0])
def test_a_norm_that_is_not_finite_is_no_error_where_the_step_is_skipped_anyway(
    device, skip, monkeypatch
):
    """As on the host, which does not measure then."""
    params = drawn(0, torch.float32)
    bad = [torch.full_like(param, float("inf")) for param in params]
    with gpuopt.use_backend(device), monkeypatch.context() as patch:
        optimizer = gpuopt.SGD(params, lr=0.1, clip_norm=1.0, error_if_nonfinite=True)
        groups = optimizer._groups(1.0)
        patch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
        told = pytest.raises(RuntimeError, match="the norm of all gradients is inf")
        with nullcontext() if skip else told:
            optimizer._fused.run(bad, groups, torch.tensor(skip))
    assert all(map(torch.equal, params, drawn(0, torch.float32)))


def test_the_norm_is_the_same_in_every_order_of_the_blocks(device, request):
    if request.config.way != "sim":
        pytest.skip("only the simulated device has an order to change")
    run = pytest.importorskip("tests.simgpu.run")
    found = []
    for backwards in (False, True):
        run.backwards(backwards)
        try:
            found.append(trained(device, torch.float32, AROUND["all"]))
        finally:
            run.backwards(False)
    assert_same(found[0][:3], found[1][:3])
    assert found[0][3:] == found[1][3:]
