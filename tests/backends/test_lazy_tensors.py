"""torch's tensors whose memory does not hold their values: negated only as they are read."""

import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.backends.test_torch_tensors import Stepper
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import on_whole_arrays, random_problem
from tests.helpers.tensors import tensor_of, torch


def negated(tensor):
    """The same values, of which the memory holds the negatives."""
    return torch._neg_view(-tensor)


def imaginary_part(tensor):
    return torch.complex(torch.zeros_like(tensor), -tensor).conj().imag


def of_every_second(tensor):
    return torch._neg_view(torch.stack([-tensor, tensor], -1)[..., 0])


LAZY = [negated, imaginary_part, of_every_second]


@pytest.mark.parametrize("lazily", LAZY)
def test_gradients_that_torch_negates_lazily(any_backend, lazily):
    """Some in each step, and not the same ones."""
    run = Stepper(any_backend, random_problem("adam", [(40, 50), (7,), (0,)], steps=4))
    for t, grads in enumerate(run.problem.grads):
        given = [tensor_of(g) for g in grads]
        run.step([lazily(g) if (i + t) % 2 else g for i, g in enumerate(given)])
    run.check()


def test_a_negated_gradient_is_read_anew_in_each_step(any_backend):
    """The same object at the same address, and then the plain one there."""
    run = Stepper(any_backend, random_problem("adam", [(600,)], steps=5))
    memory = torch.zeros(600)
    view = torch._neg_view(memory)
    for t, (contents,) in enumerate(run.problem.grads):
        given = (view, view, memory, view, memory)[t]
        given.copy_(tensor_of(contents))
        run.step([given])
    run.check()


def test_a_negated_gradient_of_an_array(any_backend):
    problem = random_problem("adam", [(50,), (60,)])
    param = [p.copy() for p in problem.params]
    fused = FusedStep(param, ["a", "b"], [0, 0])
    with gpuopt.use_backend(any_backend):
        for first, second in problem.grads:
            fused.run([negated(tensor_of(first)), second.copy()], problem.groups)
    for mine, end in zip(param, on_whole_arrays(problem).params):
        assert_same_bits(mine, end)


def with_a_tail(grads, backend):
    """Two steps of an optimizer whose tail reads and writes the gradients, and one skipped."""
    params = [torch.linspace(-1, 1, 50), torch.ones(3, 4)]
    tail = {"clip_norm": 1.0, "skip_nonfinite": True, "stats": True, "zero_grads": True}
    opt = gpuopt.Adam(params, lr=0.1, **tail)
    seen = []
    with gpuopt.use_backend(backend):
        for step in grads:
            opt.step(step)
            seen += [opt.grad_norm, *opt.stats().values(), *(p.tolist() for p in params)]
    return [*seen, opt.skipped_steps]


@pytest.mark.parametrize("lazily", LAZY)
def test_tails_read_negated_gradients_and_write_them(any_backend, lazily):
    plain = [[torch.full((50,), 2.0 + t), torch.arange(12.0).view(3, 4)] for t in range(3)]
    plain[1][0][7] = torch.inf
    given = [[lazily(a), lazily(b)] for a, b in plain]
    before = [g._version for step in given for g in step]
    assert with_a_tail(given, any_backend) == with_a_tail(plain, any_backend)
    assert all(g._version > v for g, v in zip([g for step in given for g in step], before))
    assert all(g.is_neg() and not g.any() for step in given for g in step)


@pytest.mark.parametrize("where", ["another gradient", "a parameter", "itself"])
def test_negated_gradients_that_cannot_be_written_are_refused(any_backend, where):
    params = [torch.ones(4), torch.ones(4)]
    opt = gpuopt.SGD(params, lr=1.0, zero_grads=True)
    other = torch.full((4,), 3.0)
    onto = {"another gradient": other, "a parameter": params[1], "itself": torch.ones(1).expand(4)}
    with gpuopt.use_backend(any_backend), pytest.raises(ValueError, match="overlap"):
        opt.step([torch._neg_view(onto[where]), other])
    assert torch.equal(torch.cat(params), torch.ones(8)) and other.tolist() == [3.0] * 4


def test_a_negated_gradient_that_does_not_fit_is_refused(any_backend):
    param = torch.ones(4)
    opt = gpuopt.SGD([param], lr=1.0)
    with gpuopt.use_backend(any_backend):
        with pytest.raises(ValueError, match=r"gradient of params\[0\]: expected shape \(4,\)"):
            opt.step([negated(torch.ones(5))])
        with pytest.raises(TypeError, match=r"gradient of params\[0\]: expected one of float64"):
            opt.step([torch.ones(4, dtype=torch.complex64).conj()])
        opt.step([negated(torch.ones(4))])
    assert param.tolist() == [0.0] * 4


def test_a_state_dict_of_negated_tensors():
    runs = [gpuopt.Adam([torch.ones(4)], lr=0.1) for _ in range(2)]
    runs[0].step([torch.arange(4.0)])
    saved = runs[0].state_dict()
    saved["state"][0]["exp_avg"] = negated(saved["state"][0]["exp_avg"])
    runs[1].load_state_dict(saved)
    assert torch.equal(runs[1].state[0]["exp_avg"], runs[0].state[0]["exp_avg"])


def test_a_parameter_that_becomes_a_negated_view_is_refused(any_backend):
    run = Stepper(any_backend, random_problem("adam", [(50,)], steps=2))
    first, second = ([tensor_of(g) for g in grads] for grads in run.problem.grads)
    run.step(first)
    param, plain = run.params[0], run.params[0].data
    param.data = negated(plain)
    before = param.clone()
    with pytest.raises(TypeError, match="p0: expected a plain tensor, got a negated view"):
        run.step([negated(second[0])])
    assert torch.equal(param, before)
    param.data = plain
    run.step(second)
    run.check()
