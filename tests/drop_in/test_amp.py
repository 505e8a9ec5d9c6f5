"""torch.amp.GradScaler, which unscales and skips by itself, or leaves both to the step."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, OPTIONS, assert_close  # noqa: E402

DATA = [torch.linspace(-1, 1, 8) * (k + 1) for k in range(6)]


pytestmark = pytest.mark.usefixtures("nothing_to_compile")


def train(make, infinite=(), unscale=False, scale=True):
    """Six steps on a small loss, whose gradients overflow at some steps."""
    weight = torch.full((8,), 0.5, requires_grad=True)
    optimizer = make([weight])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3, enabled=scale)
    for k, data in enumerate(DATA):
        optimizer.zero_grad()
        loss = ((weight * data) ** 2).mean()
        scaler.scale(loss).backward()
        if k in infinite:
            weight.grad[3] = float("inf")
        if unscale:
            scaler.unscale_(optimizer)
            if k not in infinite:
                torch.nn.utils.clip_grad_norm_([weight], 0.5)
        scaler.step(optimizer)
        scaler.update()
    return weight, optimizer, scaler.get_scale()


def maker(module, name, **more):
    return lambda params: getattr(module, name)(params, **OPTIONS.get(name, {}), **more)


WHO = pytest.mark.parametrize(
    "asked", [{}, {"skip_nonfinite": True}], ids=["the scaler skips", "the step skips"]
)


@WHO
@pytest.mark.parametrize("name", OF_TORCH)
@pytest.mark.parametrize("infinite", [(), (0,), (2,), (0, 1, 4)], ids=str)
@pytest.mark.parametrize("unscale", [False, True], ids=["scaled", "unscaled"])
def test_as_torch(name, infinite, unscale, asked):
    mine, optimizer, scale = train(maker(ours, name, **asked), infinite, unscale)
    theirs, expected, expected_scale = train(maker(torch.optim, name), infinite, unscale)
    assert scale == expected_scale
    assert_close([mine], [theirs], "formula float32")
    assert len(optimizer.state) == len(expected.state)
    for held, other in zip(optimizer.state.values(), expected.state.values()):
        assert held.keys() == other.keys()
        assert held.get("step", 0) == other.get("step", 0)


@WHO
@pytest.mark.parametrize("name", CLASSES)
def test_a_skipped_step_changes_nothing(name, asked):
    weight = torch.ones(4, requires_grad=True)
    optimizer = maker(ours, name, **asked)([weight])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for grad in (1.0, float("nan"), float("inf")):
        before = weight.detach().clone()
        saved = {k: v.clone() for k, v in optimizer.state[weight].items()}
        scaler.scale(torch.ones(()))
        weight.grad = torch.full((4,), grad)
        scaler.step(optimizer)
        scaler.update()
        if grad != 1.0:
            assert weight.equal(before)
            assert {k: v.tolist() for k, v in optimizer.state[weight].items()} == {
                k: v.tolist() for k, v in saved.items()
            }


def test_the_scale_is_not_remembered():
    weight, optimizer, _ = train(maker(ours, "SGD", fused=True))
    before = weight.detach().clone()
    weight.grad = torch.ones(8)
    optimizer.param_groups[0].update(lr=0.5, momentum=0.0)
    optimizer.step()
    assert weight.equal(before - 0.5)
    assert not optimizer.__dict__.get("grad_scale")


def test_a_step_without_any_gradient():
    weight = torch.ones(3, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(()))
    assert scaler.step(ours.Adam([weight], fused=True)) is None
    for module in (ours, torch.optim):
        with pytest.raises(AssertionError, match="No inf checks were recorded"):
            scaler.step(module.Adam([weight]))
    assert weight.tolist() == [1, 1, 1]


def train_two(module, **asked):
    """Two optimizers with one scaler; each skips its own infinite steps, one unscales by itself."""
    torch.manual_seed(0)
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
    optimizers = [
        module.Adam(first.parameters(), lr=0.1, **asked),
        module.SGD(second.parameters(), lr=0.05, momentum=0.9, **asked),
    ]
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    for k in range(7):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = second(first(torch.full((2, 4), 1.0 + k))).square().mean()
        scaler.scale(loss).backward()
        if k in (0, 3):
            first.weight.grad[0, 0] = float("inf")
        if k == 5:
            second.bias.grad[0] = float("nan")
        if k == 4:
            scaler.unscale_(optimizers[0])
            torch.nn.utils.clip_grad_norm_(first.parameters(), 0.1)
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
    counts = [int(held["step"]) for held in optimizers[0].state.values()]
    return [*first.parameters(), *second.parameters()], counts, scaler.get_scale()


@WHO
def test_several_optimizers_and_one_scaler(asked):
    mine, counts, scale = train_two(ours, **asked)
    theirs, expected, expected_scale = train_two(torch.optim)
    assert (counts, scale) == (expected, expected_scale) == ([5, 5], expected_scale)
    assert_close(mine, theirs, "formula float32")


@pytest.mark.parametrize("overflow", [False, True])
def test_what_is_left_of_the_gradients_is_what_torch_leaves(overflow):
    left = []
    for module in (ours, torch.optim):
        weight = torch.full((3,), 3.0, requires_grad=True)
        optimizer, taken = module.Adam([weight], lr=0.5), []
        optimizer.register_step_post_hook(lambda *_, taken=taken: taken.append(1))
        scaler = torch.amp.GradScaler("cpu", init_scale=3.0)
        scaler.scale((weight / 7).sum()).backward()
        if overflow:
            weight.grad[1] = float("inf")
        assert scaler.step(optimizer) is None
        scaler.update()
        left.append((weight.grad.tolist(), taken, len(optimizer.state), scaler.get_scale()))
        assert (weight.tolist() == [3.0] * 3) == overflow
    assert left[0] == left[1]
    assert left[0][1:3] == (([], 0) if overflow else ([1], 1))
