"""A step that a number on the device skips: the host does not look at it."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.optimizers import arrays, gradients
from tests.helpers.stepping import REFERENCE, groups
from tests.helpers.tensors import tensor_of, torch

STEPS = ((0.0, True), (2.0, True), (2.0, False), (float("inf"), True), (0.0, True))
"""The number at each step, and whether the step is told of it."""


@pytest.mark.every_arch
@pytest.mark.parametrize("rule", ["adam", "sgd_momentum", "nadam"])
def test_nothing_changes_and_nothing_is_counted(device, rule, monkeypatch):
    problem = arrays(0)
    tensors, params = [tensor_of(p) for p in problem], [p.copy() for p in problem]
    names, group_of = [f"p{i}" for i in range(len(params))], [0] * len(params)
    fused, expected = FusedStep(tensors, names, group_of), FusedStep(params, names, group_of)
    found = torch.zeros(())
    wanted = groups(rule, {})
    for step, (number, skip) in enumerate(STEPS):
        found.fill_(number)
        with gpuopt.use_backend(device), monkeypatch.context() as patch:
            patch.setattr("gpuopt.arrays.scalars.on_host", lambda array: False)
            fused.run([tensor_of(g) for g in gradients(step)], wanted, found if skip else None)
        if not (skip and number):
            with gpuopt.use_backend(REFERENCE):
                expected.run(gradients(step), wanted)
        for tensor, param in zip(tensors, params):
            assert_same_bits(tensor, param)
        assert fused.steps.tolist() == expected.steps.tolist()
        assert fused.carried == expected.carried
    assert fused.norm.skipped() == 2


def test_on_the_host_the_host_looks(any_backend):
    param = np.zeros(3, np.float32)
    fused = FusedStep([param], ["p"], [0])
    with gpuopt.use_backend(any_backend):
        for number, moved in ((0.0, -1), (1.0, -1), (0.0, -2)):
            fused.run(
                [np.ones(3, np.float32)],
                groups("gradient_descent", {"lr": 1.0}),
                torch.tensor(number),
            )
            assert param.tolist() == [moved] * 3
    assert fused.steps.tolist() == [2]
