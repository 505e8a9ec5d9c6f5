"""Steps that are skipped, gradients that are zeroed, and statistics of both."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch  # noqa: E402
from gpuopt import SGD, Adam  # noqa: E402
from tests.helpers.bits import assert_same_bits  # noqa: E402
from tests.helpers.optimizers import everything  # noqa: E402
from tests.tail.cases import STORED, new_grads, new_params  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

SHAPES = ((300,), (17, 5), (), (40_000,))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("stored", STORED, ids=str)
def test_a_skipped_step_changes_nothing(backend, bad, stored):
    options = {"lr": 0.1, "ema_decay": 0.5, "clip_norm": 1.0, **stored}
    params, others = new_params("bfloat16", SHAPES), new_params("bfloat16", SHAPES)
    with gpuopt.use_backend(backend):
        opt = Adam(params, skip_nonfinite=True, **options)
        never_skips = Adam(others, **options)
        for step in range(3):
            grads = new_grads("bfloat16", 10 + step, SHAPES)
            grads[3][12_345] = bad
            before = everything(opt, params)
            opt.step(grads)
            if step:  # the first makes the states
                assert everything(opt, params) == before
            for one in (opt, never_skips):
                one.step(new_grads("bfloat16", step, SHAPES))
        assert everything(opt, params) == everything(never_skips, others)
    assert opt.skipped_steps == 3


def test_large_gradients_are_no_reason_to_skip():
    params = new_params("float32", SHAPES)
    opt = SGD(params, lr=0.1, skip_nonfinite=True)
    opt.step([np.full(s, 3e38, np.float32) for s in SHAPES])
    assert opt.skipped_steps == 0


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_float64_gradients_whose_squares_are_infinite_are_no_reason_to_skip(backend):
    params = new_params("float64", SHAPES)
    with gpuopt.use_backend(backend):
        opt = SGD(params, lr=0.1, skip_nonfinite=True)
        opt.step([np.full(s, 1e200) for s in SHAPES])
    assert opt.skipped_steps == 0


@pytest.mark.parametrize("bad", [0.0, np.inf])
def test_gradients_are_zeroed_also_by_a_skipped_step(bad):
    params = new_params("float32", SHAPES)
    opt = SGD(params, lr=0.1, skip_nonfinite=True, zero_grads=True)
    grads = new_grads("float32", 0, SHAPES)
    grads[0][0] += bad
    opt.step(grads)
    assert opt.skipped_steps == int(bad > 0)
    for grad in grads:
        assert_same_bits(grad, np.zeros_like(grad))


def test_gradients_that_cannot_be_zeroed_are_refused():
    w = np.ones((2, 3), np.float32)
    frozen, wide, shared = (np.ones((2, 3), np.float32) for _ in range(3))
    frozen.flags.writeable = False
    for bad, why in ((frozen, "read-only"), (np.broadcast_to(wide[:1], (2, 3)), "read-only")):
        with pytest.raises(ValueError, match=f"gradient of .*{why}"):
            SGD([w], lr=0.1, zero_grads=True).step([bad])
    opt = SGD([w, w.copy()], lr=0.1, zero_grads=True)
    with pytest.raises(ValueError, match=r"gradients of .*: overlap, and zero_grads writes both"):
        opt.step([shared, shared])
    opt.step([shared, wide])
    with pytest.raises(ValueError, match="overlap, and zero_grads writes both"):
        opt.step([shared, shared])
    assert (w == np.float32(1.0) - np.float32(0.1)).all()


def test_torchs_gradients_are_zeroed_and_marked():
    """By a step, by one that is skipped for an infinity, and by one that GradScaler skips."""
    tensor = torch.ones(5, requires_grad=True)
    optimizer = gpuopt.torch.SGD([tensor], lr=0.5, zero_grads=True, skip_nonfinite=True)
    for value, found_inf in ((1.0, None), (np.inf, None), (1.0, torch.ones(1)), (1.0, None)):
        tensor.grad = torch.full((5,), value)
        version = tensor.grad._version
        optimizer.found_inf = found_inf
        optimizer.step()
        assert tensor.grad.tolist() == [0.0] * 5
        assert tensor.grad._version > version
    assert tensor.tolist() == [0.0] * 5


def test_skipped_steps_are_counted_on_in_a_copy_and_with_another_group():
    tensors = [torch.ones(5, requires_grad=True) for _ in range(3)]
    optimizer = gpuopt.torch.SGD(tensors[:2], lr=0.5, skip_nonfinite=True)

    def skip(optimizer):
        for tensor in [t for group in optimizer.param_groups for t in group["params"]]:
            tensor.grad = torch.full_like(tensor, np.nan)
        optimizer.step()
        return optimizer.skipped_steps

    assert skip(optimizer) == 1
    optimizer.add_param_group({"params": tensors[2:]})
    assert optimizer.skipped_steps == 1
    assert skip(optimizer) == 2
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert other.skipped_steps == 2
        assert skip(other) == 3


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_statistics_are_what_they_say(backend, dtype):
    params = new_params(dtype, SHAPES)
    with gpuopt.use_backend(backend):
        opt = Adam(params, lr=0.25, stats=True, master_weights=dtype == "bfloat16")
        before = [p.astype(np.float64) for p in params]
        grads = new_grads(dtype, 0, SHAPES)
        grads[0][:3] = np.nan, np.inf, -np.inf
        opt.step([np.asarray(g * np.array(4, g.dtype)) for g in grads], scale=4.0)
        found = opt.stats()
    for i, (grad, old) in enumerate(zip(grads, before)):
        now = np.asarray(opt.state[i].get("master", params[i])).astype(np.float64)
        seen = {"grad": grad.astype(np.float64), "update": now - old, "param": now}
        for name, values in seen.items():
            norm, largest, others = (
                getattr(found[i], f"{name}_{k}") for k in ("norm", "max", "nonfinite")
            )
            finite = values[np.isfinite(values)]
            assert others == values.size - finite.size
            wide = "formula float32" if name == "update" else "sum in another order"
            assert_close(norm, np.linalg.norm(values.ravel()), wide)
            known = np.abs(values[~np.isnan(values)])
            assert_close(largest, known.max(initial=0.0), wide)


def test_statistics_tell_what_a_step_was_skipped_for():
    params = new_params("float32", SHAPES)
    opt = Adam(params, stats=True, skip_nonfinite=True)
    grads = new_grads("float32", 0, SHAPES)
    grads[2][...] = np.nan
    opt.step(grads)
    assert [s.grad_nonfinite for s in opt.stats().values()] == [0, 0, 1, 0]
