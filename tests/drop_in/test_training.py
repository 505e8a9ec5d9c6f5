"""Whole training loops: a small transformer, a compiled one, the step inside the backward pass."""

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
    with pytest.raises(ValueError, match="expected 8 optimizers, got 1"):
        again.load_state_dict({"optimizers": [1]})


def test_groups_inside_the_backward_pass():
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    groups = [{"params": [first], "lr": 0.5}, {"params": [second]}]
    with ours.StepInBackward(groups, ours.SGD, lr=0.25):
        (first + second).sum().backward()
    assert_close([first, second], [torch.full((2,), 0.5), torch.full((2,), 0.75)])
