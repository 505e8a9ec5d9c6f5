"""Whole training loops: a small transformer, a compiled one, the step inside the backward pass."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import assert_close  # noqa: E402
from tests.tolerances import TOLERANCES  # noqa: E402


class Small(torch.nn.Module):
    """One transformer layer that learns to say what came two tokens before."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(16, 32)
        self.layer = torch.nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.head = torch.nn.Linear(32, 16)

    def forward(self, tokens):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.layer(self.embed(tokens), src_mask=mask, is_causal=True))


def train(make, steps=200):
    torch.manual_seed(0)
    model = Small()
    optimizer = make(model.parameters())
    losses = []
    for _ in range(steps):
        tokens = torch.randint(0, 16, (16, 12))
        logits = model(tokens)[:, 2:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, :-2].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AdamW", {"lr": 3e-3, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.05, "momentum": 0.9}),
        ("RAdam", {"lr": 3e-3}),
    ],
)
def test_a_transformer_reaches_the_same_loss(name, options):
    mine = train(lambda p: getattr(ours, name)(p, **options))
    theirs = train(lambda p: getattr(torch.optim, name)(p, **options))
    allowed = TOLERANCES["two trainings"]
    assert mine[:10] == pytest.approx(theirs[:10], rel=TOLERANCES["ten trained steps"].relative)
    assert sum(mine[-20:]) == pytest.approx(sum(theirs[-20:]), rel=allowed.relative)
    assert mine[-1] < 0.9 * mine[0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of dynamo's own looking at tensors
def test_a_compiled_loop_is_compiled_once_under_a_schedule():
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    model = torch.nn.Linear(4, 4)
    optimizer = ours.Adam(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    @torch.compile(backend=counter)
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    losses, compiled = [], []
    for _ in range(6):
        losses.append(step(torch.ones(2, 4)).item())
        schedule.step()
        compiled.append(counter.frame_count)
    assert compiled[1] == compiled[-1]
    assert losses[-1] < losses[0]
    assert {s["step"].item() for s in optimizer.state.values()} == {6}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_compiled_loop_may_look_at_the_states():
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    model = torch.nn.Linear(4, 4)
    optimizer = ours.Adam(model.parameters(), lr=0.1)

    @torch.compile(backend=counter)
    def step(x):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        return optimizer.state[model.bias]["exp_avg_sq"].abs().sum()

    found, compiled = [], []
    for _ in range(4):
        found.append(step(torch.ones(2, 4)).item())
        compiled.append(counter.frame_count)
    assert compiled[0] == compiled[-1]
    assert len(set(found)) == 4


def layers():
    torch.manual_seed(0)
    return torch.nn.Sequential(*(torch.nn.Linear(16, 16) for _ in range(4)))


def test_the_step_inside_the_backward_pass():
    inside, outside = layers(), layers()
    helper = ours.StepInBackward(inside.parameters(), ours.Adam, lr=0.1)
    optimizer = ours.Adam(outside.parameters(), lr=0.1)
    for step in range(4):
        x = torch.full((2, 16), 1.0 + step)
        inside(x).square().sum().backward()
        assert all(p.grad is None for p in inside.parameters())
        optimizer.zero_grad()
        outside(x).square().sum().backward()
        optimizer.step()
    assert all(map(torch.equal, inside.parameters(), outside.parameters()))
    again = ours.StepInBackward(layers().parameters(), ours.Adam, lr=0.1)
    again.load_state_dict(helper.state_dict())
    assert again.optimizers[0].state_dict()["state"][0]["step"] == 4
    helper.remove()
    inside(torch.ones(2, 16)).sum().backward()
    assert all(p.grad is not None for p in inside.parameters())
    with pytest.raises(ValueError, match=r"expected groups of \[8\] parameters, got .* \[2\]"):
        again.load_state_dict(ours.Adam(list(layers().parameters())[:2]).state_dict())


def test_groups_inside_the_backward_pass():
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    groups = [{"params": [first], "lr": 0.5}, {"params": [second]}]
    with ours.StepInBackward(groups, ours.SGD, lr=0.25):
        (first + second).sum().backward()
    assert_close([first, second], [torch.full((2,), 0.5), torch.full((2,), 0.75)])


def test_frozen_parameters_inside_the_backward_pass():
    """They rest, and are updated from when they are thawed on."""
    model = layers()
    model[1].weight.requires_grad_(False)
    rows = torch.nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    before = model[1].weight.clone()
    with ours.StepInBackward([*model.parameters(), rows], ours.SGD, lr=0.1):
        assert not model[1].weight.requires_grad
        model(torch.ones(2, 16)).sum().backward()
        assert model[1].weight.equal(before)
        model[1].weight.requires_grad_(True)
        model(torch.ones(2, 16)).sum().backward()
        assert not model[1].weight.equal(before)
        assert model[1].weight.grad is None


def test_parameters_of_the_backward_pass_are_checked_as_an_optimizers():
    param = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="params: a parameter is given twice"):
        ours.StepInBackward([{"params": [param]}, {"params": [param], "lr": 0.5}], ours.SGD)
    with pytest.raises(TypeError, match="params: expected an iterable of tensors or dicts, got"):
        ours.StepInBackward(param, ours.SGD)
    with ours.StepInBackward([{"params": param}], ours.SGD, lr=0.5):
        param.sum().backward()
    assert param.tolist() == [0.5] * 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("hooked", [True, False])
def test_copies_of_what_steps_inside_the_backward_pass(copied, hooked):
    param = torch.ones(3, requires_grad=True)
    helper = ours.StepInBackward([param], ours.SGD, lr=0.5)
    if not hooked:
        helper.remove()
    (other,) = copied(helper).optimizers[0].param_groups[0]["params"]
    other.sum().backward()
    assert other.tolist() == [0.5 if hooked else 1.0] * 3
    assert (other.grad is None) == hooked
    assert param.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda _: 5, "expected that of an optimizer, with 'state' and 'param_groups', got int"),
        (lambda _: {}, "expected that of an optimizer, .* got one with nothing"),
        (lambda saved: {**saved, "state": [1]}, "expected that of an optimizer"),
        (lambda saved: {**saved, "param_groups": [1]}, r"groups of \[2\] .* got groups of \[0\]"),
        (
            lambda _: ours.SGD(list(layers().parameters())).state_dict(),
            r"expected groups of \[2\] parameters, got groups of \[8\]",
        ),
        (
            lambda saved: {
                **saved,
                "state": {**saved["state"], 1: {"momentum_buffer": torch.ones(5)}},
            },
            "momentum_buffer",
        ),
    ],
)
def test_state_dicts_that_do_not_fit_change_nothing(bad, message):
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    helper = ours.StepInBackward(params, ours.SGD, lr=0.5, momentum=0.5)
    sum(p.sum() for p in params).backward()
    saved = copy.deepcopy(helper.state_dict())
    saved["param_groups"][0]["lr"] = 9.0
    saved["state"][0]["momentum_buffer"].zero_()
    with pytest.raises((TypeError, ValueError), match=message):
        helper.load_state_dict(bad(saved))
    assert helper.param_groups[0]["lr"] == helper.optimizers[0].param_groups[0]["lr"] == 0.5
    assert helper.state[params[0]]["momentum_buffer"].tolist() == [1.0] * 3
