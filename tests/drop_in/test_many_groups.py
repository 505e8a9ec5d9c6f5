"""A group for each parameter, as layer-wise rates have: each steps as if it were alone."""

import numpy as np
import pytest

from gpuopt.optimizers import plan
from tests.helpers.bits import assert_same_bits
from tests.helpers.tensors import torch

drop_ins = pytest.importorskip("gpuopt.torch")

N = 12
CLASSES = {
    "SGD": {"lr": 0.1},
    "Adam": {},
    "AdamW": {"amsgrad": True},
    "RMSprop": {"momentum": 0.5},
    "Adagrad": {"initial_accumulator_value": 0.5},
    "Adadelta": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Rprop": {},
    "ASGD": {"t0": 2.0},
    "Momentum": {},
    "Lion": {},
    "AdEMAMix": {"beta3_warmup": 4.0},
    "Adan": {},
    "ADOPT": {},
    "LaProp": {},
}


def params():
    random = np.random.default_rng(0)
    drawn = (torch.from_numpy(random.standard_normal(3 + i, np.float32)) for i in range(N))
    return [torch.nn.Parameter(tensor) for tensor in drawn]


def grads(step):
    random = np.random.default_rng(1 + step)
    return [torch.from_numpy(random.standard_normal(3 + i, np.float32)) for i in range(N)]


def change(group, i, step):
    """What a scheduler might do to group i."""
    group["lr"] = 0.1 / (1 + i + step)
    if step % 3 == 1 and "weight_decay" in group:
        group["weight_decay"] = 0.01 * (i % 3)  # none in some groups
    if step % 3 == 2:
        group.update({n: (0.5 + 0.01 * i, *group[n][1:]) for n in ("betas",) if n in group})
        group.update({n: 0.5 + 0.01 * i for n in ("alpha", "rho") if n in group})
    if step == 4:
        group["maximize"] = i % 2 == 1


@pytest.mark.parametrize("name", CLASSES)
def test_each_group_steps_as_an_optimizer_of_its_own(name):
    make = getattr(drop_ins, name)
    together, apart = params(), params()
    one = make([{"params": [p]} for p in together], **CLASSES[name])
    others = [make([p], **CLASSES[name]) for p in apart]
    for step in range(6):
        for i, grad in enumerate(grads(step)):
            change(one.param_groups[i], i, step)
            change(others[i].param_groups[0], i, step)
            resting = step % 2 and i in (5, 6)  # their step counts fall behind
            together[i].grad = None if resting else grad.clone()
            apart[i].grad = None if resting else grad.clone()
            others[i].step()
        one.step()
        for p, q in zip(together, apart):
            assert_same_bits(p.detach().numpy(), q.detach().numpy(), f"step {step}")


def two_groups(make=drop_ins.Adam, **options):
    given = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    for param in given:
        param.grad = torch.ones(2)
    return make([{"params": [param]} for param in given], lr=0.5, **options)


def test_a_changed_rate_works_out_nothing_else(monkeypatch):
    optimizer = two_groups(weight_decay=0.1)
    before = optimizer._groups()
    assert optimizer._groups() is before
    monkeypatch.setattr(drop_ins.Adam, "_rule_for", lambda *_: pytest.fail("a rule"))
    monkeypatch.setattr(plan, "updates_for", lambda *_: pytest.fail("updates"))
    optimizer.param_groups[1]["lr"] = 0.25
    after = optimizer._groups()
    assert after is not before
    assert after.updates is before.updates
    same = {name for name in after.numbers if after.numbers[name] is before.numbers[name]}
    assert same == set(after.numbers) - {"lr"}
    assert [group.options["lr"] for group in after] == [0.5, 0.25]


def test_a_tensor_that_takes_the_place_of_its_value_is_followed_from_there_on():
    optimizer = two_groups()
    optimizer._groups()
    lr = torch.tensor(0.5)
    optimizer.param_groups[1]["lr"] = lr
    assert optimizer._groups()[1].tensors == {"lr": lr}
    lr.fill_(0.25)
    assert [group.options["lr"] for group in optimizer._groups()] == [0.5, 0.25]
    assert optimizer._groups() is optimizer._groups()


def test_betas_in_a_list_are_followed_though_the_list_equals_what_was_there():
    optimizer = two_groups(betas=(0.5, 0.75))
    optimizer._groups()
    optimizer.param_groups[1]["betas"] = betas = [0.5, 0.75]
    optimizer._groups()
    betas[0] = 0.25
    assert [group.options["beta1"] for group in optimizer._groups()] == [0.5, 0.25]


def test_a_group_more_with_the_same_options():
    optimizer = two_groups()
    optimizer.step()
    param = torch.nn.Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    optimizer.add_param_group({"params": [param]})
    optimizer.step()
    assert len(optimizer._groups()) == 3
    assert param.tolist() == [0.5, 0.5]
    del optimizer.param_groups[2]
    assert len(optimizer._groups()) == 2


def test_what_is_not_accepted_is_looked_at_again():
    optimizer = two_groups()
    optimizer.step()
    held = [p.detach().clone() for g in optimizer.param_groups for p in g["params"]]
    for name, value, why in (
        ("lr", "fast", "lr: expected a number, got 'fast'"),
        ("eps", None, "eps: expected a number, got None"),
        ("betas", (0.5,), "betas: expected 2 numbers, got"),
        ("differentiable", True, "differentiable: gpuopt's step cannot be differentiated"),
    ):
        before = optimizer.param_groups[1][name]
        optimizer.param_groups[1][name] = value
        for _ in range(2):
            with pytest.raises((TypeError, ValueError), match=why):
                optimizer.step()
        optimizer.param_groups[1][name] = before
    now = [p.detach() for g in optimizer.param_groups for p in g["params"]]
    assert all(map(torch.equal, held, now))
    optimizer.param_groups[1]["lr"] = 0.0
    optimizer.step()
    assert torch.equal(now[1], held[1])
    assert not torch.equal(now[0], held[0])


def test_momentum_that_begins_in_one_group():
    optimizer = two_groups(drop_ins.SGD)
    optimizer.step()
    optimizer.param_groups[1]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    (first,), (second,) = (group["params"] for group in optimizer.param_groups)
    assert first.tolist() == [-0.5, -0.5]
    assert second.tolist() == [-0.75, -0.75]
