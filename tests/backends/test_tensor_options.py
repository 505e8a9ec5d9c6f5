"""A learning rate that is a tensor: its value at each step counts, wherever it is read."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep, Group
from tests.helpers.exact import assert_same_bits
from tests.helpers.optimizers import VARIANTS, arrays, gradients, make
from tests.helpers.stepping import REFERENCE, groups
from tests.helpers.tensors import tensor_of, torch

RATES = (0.1, 0.05, 0.0, 30.0)
FORMS = {
    "float32": lambda: torch.zeros((), dtype=torch.float32),
    "float64": lambda: torch.zeros((), dtype=torch.float64),
    "bfloat16": lambda: torch.zeros((), dtype=torch.bfloat16),
    "that wants a gradient": lambda: torch.zeros((), requires_grad=True),
    "one element": lambda: torch.zeros((1, 1)),
}


def fill(tensor, value):
    """Change a tensor in place; return what it holds now."""
    return float(tensor.detach().fill_(value))


def both(backend, optimizer, expected, step):
    """The same step of two optimizers, the second on the reference."""
    with gpuopt.use_backend(backend):
        optimizer.step([tensor_of(grad) for grad in gradients(step)])
    with gpuopt.use_backend(REFERENCE):
        expected.step(gradients(step))


def assert_all_equal(tensors, params):
    for i, (tensor, param) in enumerate(zip(tensors, params)):
        assert_same_bits(tensor, param, f"tensor {i}")


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_changed_in_place_between_steps(any_backend, name, options):
    params = arrays(0)
    tensors, lr = [tensor_of(param) for param in params], FORMS["float32"]()
    optimizer = make(name, tensors, **{**options, "lr": lr})
    expected = make(name, params, **options)
    for step, rate in enumerate(RATES):
        expected.lr = fill(lr, rate)
        both(any_backend, optimizer, expected, step)
        assert_all_equal(tensors, params)


@pytest.mark.parametrize("form", FORMS)
def test_of_any_float_dtype_and_shape(any_backend, form):
    params, lr = arrays(0), FORMS[form]()
    tensors = [tensor_of(param) for param in params]
    optimizer, expected = gpuopt.Adam(tensors, lr=lr), gpuopt.Adam(params)
    for step, rate in enumerate(RATES):
        expected.lr = fill(lr, rate)
        both(any_backend, optimizer, expected, step)
    assert_all_equal(tensors, params)


# --- where the device reads it -------------------------------------------------------------------


def followed(rule, *rates):
    """One group for each rate, which the host does not know: it lies in a tensor."""
    known = groups(rule, *({"lr": 7.0} for _ in rates))
    return [
        Group(group.update, group.options, group.state_dtype, {"lr": rate})
        for group, rate in zip(known, rates)
    ]


def test_the_device_follows_it_though_the_host_knows_of_no_change(device):
    """What an optimizer does with a tensor on a CUDA device, whose value it never reads."""
    problem, rates = arrays(0), [torch.tensor(0.25), torch.tensor(0.5)]
    tensors, params = [tensor_of(p) for p in problem], [p.copy() for p in problem]
    names, group_of = [f"p{i}" for i in range(len(params))], [0, 1, 1, 0, 1]
    fused, expected = FusedStep(tensors, names, group_of), FusedStep(params, names, group_of)
    unchanged = followed("adam", *rates)
    for step, rate in enumerate(RATES):
        values = [fill(rates[0], rate), fill(rates[1], 2 * rate + 1)]
        with gpuopt.use_backend(device):
            fused.run([tensor_of(g) for g in gradients(step)], unchanged)
        with gpuopt.use_backend(REFERENCE):
            expected.run(gradients(step), groups("adam", *({"lr": v} for v in values)))
        assert_all_equal(tensors, params)


def test_all_groups_follow_a_tensor_that_they_share(device):
    rate, params = torch.zeros(()), [torch.zeros(3), torch.zeros(3)]
    fused = FusedStep(params, ["a", "b"], [0, 1])
    with gpuopt.use_backend(device):
        for value in (0.25, 0.5):
            rate.fill_(value)
            fused.run([torch.ones(3)] * 2, followed("gradient_descent", rate, rate))
    assert [param.tolist() for param in params] == [[-0.75] * 3] * 2


def test_a_tensor_that_lies_elsewhere_is_the_hosts_to_read(device):
    param = tensor_of(np.zeros(3, np.float32))
    fused = FusedStep([param], ["p"], [0])
    elsewhere = followed("gradient_descent", torch.zeros((), device="meta"))
    with gpuopt.use_backend(device):
        fused.run([torch.ones(3)], elsewhere)
    assert param.tolist() == [-7.0] * 3
