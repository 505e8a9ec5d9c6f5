"""Tensors that torch negates or conjugates only as it reads them."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, OPTIONS, Pair, parameters  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile", "float64_everywhere")


def negated(tensor):
    """The same values, of which the memory holds the negatives."""
    return torch._neg_view(-tensor.detach())


def conjugated(tensor):
    return tensor.detach().resolve_conj().conj_physical().conj()


def both(tensor):
    return torch._neg_view(-conjugated(tensor))


LAZY = {"negated": (negated, torch.float64)} | {
    f"complex, {how.__name__}": (how, torch.complex128) for how in (negated, conjugated, both)
}


def stepped(name, dtype, lazily, steps=3, **tail):
    """The parameters of a run whose gradients are as ``lazily`` says, and the last of them."""
    params = parameters(dtype)
    opt = getattr(ours, name)(params, **OPTIONS.get(name, {}), **tail)
    for t in range(steps):
        for i, (param, grad) in enumerate(zip(params, parameters(dtype, 100 + t))):
            param.grad = lazily(grad) if (i + t) % 3 else grad.detach()
        opt.step()
    return params, opt


@pytest.mark.parametrize("case", LAZY)
@pytest.mark.parametrize("name", CLASSES)
def test_lazy_gradients_are_those_that_they_stand_for(name, case):
    lazily, dtype = LAZY[case]
    params, _ = stepped(name, dtype, lazily)
    plain, _ = stepped(name, dtype, torch.Tensor.detach)
    assert all(map(torch.equal, params, plain))


@pytest.mark.parametrize("name", OF_TORCH)
def test_negated_gradients_give_what_torch_gives(name):
    pair = Pair(name)
    for t in range(4):
        drawn = parameters(torch.float64, 100 + t)
        for mine, theirs, grad in zip(pair.params, pair.twins, drawn):
            mine.grad, theirs.grad = negated(grad), negated(grad)
        pair.mine.step()
        pair.theirs.step()
    pair.assert_close()


def test_a_conjugated_gradient_that_autograd_leaves():
    ends = []
    for module in (ours, torch.optim):
        w = torch.ones(3, dtype=torch.complex128, requires_grad=True)
        opt = module.SGD([w], lr=0.5)
        for _ in range(2):
            opt.zero_grad()
            (w.conj() * torch.tensor([1 + 1j, 2j, 3.0])).sum().real.backward()
            assert w.grad.is_conj()
            opt.step()
        ends.append(w.detach())
    assert torch.equal(*ends)


@pytest.mark.parametrize("case", LAZY)
@pytest.mark.parametrize("infinite", [False, True])
def test_tails_read_lazy_gradients_and_write_them(case, infinite):
    lazily, dtype = LAZY[case]
    tail = {"clip_norm": 0.5, "zero_grads": True, "stats": True, "skip_nonfinite": True}

    def broken(how):
        def give(grad):
            grad = grad.detach()
            if infinite and grad.ndim == 1 and grad.numel():
                grad[0] = torch.inf
            return how(grad)

        return give

    params, opt = stepped("Adam", dtype, broken(lazily), steps=4, **tail)
    plain, other = stepped("Adam", dtype, broken(torch.Tensor.detach), steps=4, **tail)
    assert all(map(torch.equal, params, plain))
    assert opt.skipped_steps == other.skipped_steps == (3 if infinite else 0)
    assert opt.grad_norm == other.grad_norm or infinite
    assert infinite or list(opt.stats().values()) == list(other.stats().values())
    assert not any(p.grad.any() for p in params)
    assert any(p.grad.is_neg() or p.grad.is_conj() for p in params)


def test_a_conjugated_gradient_that_cannot_be_written_is_refused():
    param = torch.ones(3, dtype=torch.complex64, requires_grad=True)
    opt = ours.SGD([param], lr=1.0, zero_grads=True)
    param.grad = torch.ones(1, dtype=torch.complex64).expand(3).conj()
    with pytest.raises(ValueError, match="overlap"):
        opt.step()
    assert param.tolist() == [1.0] * 3
    param.grad = torch.ones(3, dtype=torch.complex64).conj()
    before = param.grad._version
    opt.step()
    assert param.tolist() == param.grad.tolist() == [0.0] * 3
    assert param.grad._version > before


@pytest.mark.parametrize("case", LAZY)
def test_lazy_states_are_those_that_they_stand_for(case):
    lazily, dtype = LAZY[case]
    params, opt = stepped("Adam", dtype, torch.Tensor.detach)
    plain, other = stepped("Adam", dtype, torch.Tensor.detach)
    saved = opt.state_dict()
    for held in saved["state"].values():
        held.update({n: lazily(s) for n, s in held.items() if n != "step"})
    opt.load_state_dict(saved)
    for param in params[1:]:
        opt.state[param]["exp_avg"] = lazily(opt.state[param]["exp_avg"])
    for _ in range(2):
        opt.step()
        other.step()
    assert all(map(torch.equal, params, plain))
    for param, twin in zip(params, plain):
        assert torch.equal(opt.state[param]["exp_avg"], other.state[twin]["exp_avg"])


@pytest.mark.parametrize("case", LAZY)
def test_lazy_parameters_are_refused(case):
    """As torch's foreach and fused steps refuse them."""
    lazily, dtype = LAZY[case]
    param = lazily(torch.ones(3, dtype=dtype))
    opt = ours.SGD([param], lr=1.0)
    param.grad = torch.ones(3, dtype=dtype)
    with pytest.raises(TypeError, match=r"params\[0\]: .*(negated|conjugated) view"):
        opt.step()
    assert param.tolist() == [1.0] * 3
