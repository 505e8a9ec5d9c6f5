"""A group for each array: each steps as if it were alone, and changed numbers cost little."""

import numpy as np
import pytest

import gpuopt
from gpuopt.optimizers import plan
from tests.helpers.bits import assert_same_bits

N = 20
CLASSES = {
    "SGD": {"lr": 0.1},
    "Momentum": {"lr": 0.1, "nesterov": True},
    "RMSProp": {"lr": 0.1, "momentum": 0.5},
    "Adam": {"lr": 0.1},
    "AdamW": {"lr": 0.1, "amsgrad": True},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
}


def params():
    random = np.random.default_rng(0)
    return [random.standard_normal(3 + i, np.float32) for i in range(N)]


def grads(step):
    random = np.random.default_rng(1 + step)
    return [[random.standard_normal(3 + i, np.float32)] for i in range(N)]


def change(options, i, step):
    """What a scheduler might do to group i."""
    options["lr"] = 0.1 / (1 + i + step)
    if step % 3 == 1:
        options["weight_decay"] = 0.01 * (i % 3)  # none in some groups
    if step % 3 == 2 and "betas" in options:
        options["betas"] = (0.5 + 0.01 * i, *options["betas"][1:])
    if step == 4:
        options["weight_decay"] = 0.0
        options["maximize"] = i % 2 == 1


@pytest.mark.parametrize("name", CLASSES)
def test_each_group_steps_as_an_optimizer_of_its_own(backend, name):
    around = {"clip_norm": 1e9, "ema_decay": 0.5} if name == "AdamW" else {}
    make = getattr(gpuopt, name)
    together, apart = params(), params()
    with gpuopt.use_backend(backend):
        one = make([{"params": [p]} for p in together], **CLASSES[name], **around)
        others = [make([p], **CLASSES[name], **around) for p in apart]
        for step in range(6):
            for i in range(N):
                change(one.param_groups[i], i, step)
                change(others[i].param_groups[0], i, step)
            some = grads(step)
            if step % 2:
                some[5], some[6] = [None], [None]  # their step counts fall behind
            one.step(some)
            for other, own in zip(others, some):
                other.step(own)
            for p, q in zip(together, apart):
                assert_same_bits(p, q, f"step {step}")


def two_groups(**options):
    arrays = [np.ones(2, np.float32), np.ones(2, np.float32)]
    return gpuopt.Adam([{"params": [a]} for a in arrays], lr=0.5, **options)


def test_a_changed_rate_works_out_nothing_else(monkeypatch):
    optimizer = two_groups(weight_decay=0.1)
    before = optimizer._groups(1.0)
    assert optimizer._groups(1.0) is before
    monkeypatch.setattr(optimizer._plan, "_rule_of", lambda *_: pytest.fail("a rule"))
    monkeypatch.setattr(plan, "updates_for", lambda *_: pytest.fail("updates"))
    optimizer.param_groups[1]["lr"] = 0.25
    after = optimizer._groups(1.0)
    assert after is not before
    assert after.updates is before.updates
    same = {name for name in after.numbers if after.numbers[name] is before.numbers[name]}
    assert same == set(after.numbers) - {"lr"}
    assert [group.options["lr"] for group in after] == [0.5, 0.25]
    assert [group.options["lr"] for group in before] == [0.5, 0.5]


def test_a_rate_set_to_the_value_it_has_changes_nothing():
    optimizer = two_groups()
    before = optimizer._groups(1.0)
    optimizer.lr = float("0.5")
    assert optimizer._groups(1.0) is before


def test_the_scale_of_a_loss_reads_no_option_again():
    optimizer = two_groups()
    before, after = optimizer._groups(1.0), optimizer._groups(0.5)
    assert all(after.numbers[name] is before.numbers[name] for name in before.numbers)
    assert after[1].options["grad_factor"] == 0.5
    assert optimizer._groups(1.0)[1].options["grad_factor"] == 1.0


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), np.float64(0.25), 2, np.int64(2)])
def test_numbers_of_any_kind(value):
    optimizer = two_groups()
    optimizer._groups(1.0)
    optimizer.param_groups[1]["lr"] = value
    found = optimizer._groups(1.0)[1].options["lr"]
    assert found == value
    assert type(found) is float


def test_a_tensor_that_takes_the_place_of_its_value_is_followed_from_there_on():
    torch = pytest.importorskip("torch")
    optimizer = two_groups()
    optimizer._groups(1.0)
    lr = torch.tensor(0.5)
    optimizer.param_groups[1]["lr"] = lr
    assert optimizer._groups(1.0)[1].tensors == {"lr": lr}
    lr.fill_(0.25)
    assert [group.options["lr"] for group in optimizer._groups(1.0)] == [0.5, 0.25]
    lr.fill_(-1.0)
    with pytest.raises(ValueError, match="lr: expected a finite number of at least 0"):
        optimizer._groups(1.0)
    optimizer.param_groups[1]["lr"] = 0.125
    found = optimizer._groups(1.0)
    assert [group.options["lr"] for group in found] == [0.5, 0.125]
    assert not found.tensors
    assert not found[1].tensors


def test_a_tensor_elsewhere_is_refused_at_each_step():
    torch = pytest.importorskip("torch")
    params = [np.ones(2, np.float32)]
    optimizer = gpuopt.Adam(params, lr=torch.tensor(0.5, device="meta"))
    for _ in range(2):
        with pytest.raises(ValueError, match="lr: a tensor on meta, but the arrays lie on"):
            optimizer.step([np.ones(2, np.float32)])
    assert (params[0] == 1.0).all()
