"""States in 8 bits in the drop-ins: ``state``, state dicts, copies and skips see their values."""

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from gpuopt.torch import StepInBackward  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, OPTIONS, give_gradients, parameters  # noqa: E402

SHAPES = ((64, 100), (4096,), (7,), (), (0,), (4097,))
STATES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
NUMBERS = (
    *("step", "mu_product", "eta", "mu", "exp_avg_lr", "weight_sum", "lr_max", "rounding_seed"),
)
DROPPED = ["rounding_seed", "step"]
"""What ``state`` still has of a parameter behind a step."""


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def new(name="Adam", state_dtype="8bit", shapes=SHAPES, dtype=torch.float32, **options):
    params = parameters(dtype, shapes=shapes)
    options = {**OPTIONS.get(name, {}), **options}
    return getattr(ours, name)(params, state_dtype=state_dtype, **options)


def params_of(opt):
    return opt.param_groups[0]["params"]


def train(opt, steps, first=1):
    for i in range(first, first + steps):
        give_gradients(params_of(opt), i)
        opt.step()
    return opt


def follow(opt, other):
    """Give another optimizer's parameters the values of this one's."""
    with torch.no_grad():
        for p, q in zip(params_of(opt), params_of(other)):
            q.copy_(p)
    return other


def assert_alike(opt, other):
    for p, q in zip(params_of(opt), params_of(other)):
        assert torch.equal(p, q)
        own, theirs = opt.state.get(p, {}), other.state.get(q, {})
        assert own.keys() == theirs.keys()
        for name, value in own.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name])), name


def codes(opt):
    """The dtypes of the states that the step has."""
    return [{str(a.dtype) for a in own.values()} for own in opt._tensor_step.step.states]


def held(opt):
    """The names that ``state`` has, without being read: reading decodes."""
    return [sorted(opt._state.get(p, {})) for p in params_of(opt)]


@pytest.mark.parametrize("name", CLASSES)
def test_reading_changes_nothing(name):
    read, unread = new(name), new(name)
    for i in range(4):
        train(read, 1, first=1 + i)
        train(unread, 1, first=1 + i)
        for own in read.state.values():
            for state, value in own.items():
                shared = DEFINITIONS[name].shared
                assert state in {*NUMBERS, *shared} or value.dtype is torch.float32
        read.state_dict()
    assert_alike(read, unread)


@pytest.mark.parametrize("name", OF_TORCH)
def test_torch_optim_goes_on_with_the_values(name):
    opt = train(new(name), 3)
    twins = [p.detach().clone().requires_grad_() for p in params_of(opt)]
    theirs = getattr(torch.optim, name)(twins, **OPTIONS.get(name, {}))
    theirs.load_state_dict(opt.state_dict())
    for p, q in zip(params_of(opt), twins):
        for state in opt.state.get(p, {}).keys() - {*NUMBERS}:
            value = opt.state[p][state]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs.state[q][state])), (
                state
            )
    give_gradients(twins, 9)
    theirs.step()


@pytest.mark.parametrize("name", OF_TORCH)
@pytest.mark.parametrize("state_dtype", ["8bit", None])
def test_a_state_dict_of_torch_optim(name, state_dtype):
    twins = parameters(torch.float32, shapes=SHAPES)
    theirs = getattr(torch.optim, name)(twins, **OPTIONS.get(name, {}))
    for i in range(3):
        give_gradients(twins, i)
        theirs.step()
    opt = new(name, state_dtype)
    opt.load_state_dict(theirs.state_dict())
    for p, q in zip(params_of(opt), twins):
        for state, value in theirs.state[q].items():
            if isinstance(value, torch.Tensor) and value.shape == p.shape:
                assert torch.equal(opt.state[p][state], value), "no bit is lost before a step"
    train(opt, 1)
    coded = any(d in ("torch.int8", "torch.uint8") for d in codes(opt)[0])
    rule = opt._definition.rule_for(opt.param_groups[0])
    states = {*rule.states} - {*rule.wide} - {*rule.not_in_8_bits}
    assert coded == (state_dtype == "8bit" and bool(states))


@pytest.mark.parametrize("theirs", [None, "8bit", "float16", "float64", "softsign8"])
def test_into_every_dtype(theirs):
    opt = train(new(), 3)
    other = follow(opt, new(state_dtype=theirs))
    other.load_state_dict(opt.state_dict())
    assert_alike(opt, other)
    train(opt, 1, first=9)
    train(other, 1, first=9)
    if theirs == "8bit":
        assert_alike(opt, other)
    expected = {"8bit": {"torch.int8", "torch.uint8", "torch.float32"}}
    expected["softsign8"] = {"torch.int8", "torch.float32"}
    assert codes(other)[0] == expected.get(theirs, {"torch.float32"})


def test_the_values_are_dropped_by_the_next_step():
    opt = train(new(amsgrad=False), 2)
    kept = ["exp_avg", "exp_avg_sq", *DROPPED]
    for bring in (
        lambda: opt.state,
        lambda: opt.load_state_dict(copy.deepcopy(opt.state_dict())),
        lambda: opt._forget_tensor_step(),
    ):
        bring()
        assert held(opt)[0] == kept
        train(opt, 1)
        assert held(opt)[0] == DROPPED
        assert codes(opt)[0] == {"torch.int8", "torch.uint8", "torch.float32"}
    twin = copy.deepcopy(opt)
    assert held(twin)[0] == kept
    train(twin, 1)
    assert held(twin)[0] == DROPPED


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
def test_copies_go_on_with_the_same_bits(twin):
    opt = train(new(), 3)
    other = twin(opt)
    train(opt, 2, first=7)
    train(other, 2, first=7)
    assert_alike(opt, other)


def test_shallow_copies_share_their_states():
    opt = train(new(), 2)
    other = copy.copy(opt)
    train(other, 1)
    one, two = opt.state, other.state
    assert one is two
    train(opt, 1)
    alone = train(train(train(new(), 2), 1), 1)
    assert_alike(opt, alone)


def test_saved_and_loaded_by_torch():
    opt, file = train(new(), 3), io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    other = follow(opt, new())
    other.load_state_dict(torch.load(file, weights_only=True))
    train(opt, 2, first=7)
    train(other, 2, first=7)
    assert_alike(opt, other)


@pytest.mark.parametrize("way", ["replace", "in place"])
def test_a_changed_state_counts(way):
    opt, plain = train(new(), 2), train(new(), 2)
    for one in (opt, plain):
        for p in params_of(one):
            if way == "replace" or one is plain:
                one.state[p]["exp_avg"] = torch.zeros_like(p, requires_grad=False)
            else:
                one.state[p]["exp_avg"].zero_()
    train(opt, 1)
    train(plain, 1)
    assert_alike(opt, plain)
    assert not torch.equal(params_of(opt)[0], params_of(train(train(new(), 2), 1))[0])


def test_the_hooks_see_the_values():
    opt, seen = new(), []
    opt.register_step_post_hook(
        lambda own, *_: seen.append(own.state[params_of(own)[0]]["exp_avg"])
    )
    opt.register_state_dict_post_hook(lambda own, saved: seen.append(saved["state"][0]["exp_avg"]))
    train(opt, 1)
    opt.state_dict()
    assert [value.dtype for value in seen] == [torch.float32] * 2
    assert torch.equal(*seen)


def test_inference_mode():
    opt, other = new(), new()
    for i in range(3):
        give_gradients(params_of(other), i)
        other.step()
        with torch.inference_mode():
            give_gradients(params_of(opt), i)
            opt.step()
            opt.state  # noqa: B018
            opt.state_dict()
    assert_alike(opt, other)


@pytest.mark.parametrize("reads", [False, True])
def test_grad_scaler_skips(reads):
    opt, other = new(), new()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=100)
    for i in range(4):
        params = params_of(opt)
        give_gradients(params, i)
        for p in params:
            p.grad *= scaler.get_scale()
        if i == 2:
            params[0].grad[0] = float("inf")
        scaler.scale(torch.zeros(1))
        scaler.step(opt)
        scaler.update()
        if i != 2:
            give_gradients(params_of(other), i)
            other.step()
        if reads:
            opt.state  # noqa: B018
        assert opt._tensor_step is not None
    assert_alike(opt, other)


@pytest.mark.parametrize("reads", [False, True])
def test_skip_nonfinite(reads):
    opt, other = new(skip_nonfinite=True), new(skip_nonfinite=True)
    for i in range(4):
        give_gradients(params_of(opt), i)
        if reads:
            opt.state  # noqa: B018
        if i == 2:
            params_of(opt)[1].grad[3] = float("nan")
        opt.step()
        if i != 2:
            train(other, 1, first=i)
    assert opt.skipped_steps == 1
    assert_alike(opt, other)


def test_averages_are_swapped():
    opt = train(new(ema_decay=0.5), 3)
    before = [p.detach().clone() for p in params_of(opt)]
    values = {p: own["exp_avg"].clone() for p, own in opt.state.items()}
    with opt.ema_weights():
        assert not torch.equal(params_of(opt)[0], before[0])
    assert all(map(torch.equal, params_of(opt), before))
    for p, own in opt.state.items():
        assert torch.equal(own["exp_avg"], values[p])
        assert own["ema"].dtype is torch.float32
    train(opt, 1)


@pytest.mark.parametrize("reads", [False, True])
def test_complex_parameters(reads):
    opt = new(dtype=torch.complex64)
    twins = [torch.view_as_real(p.detach()).clone().requires_grad_() for p in params_of(opt)]
    real = ours.Adam(twins, lr=0.01, amsgrad=True, state_dtype="8bit")
    for i in range(3):
        give_gradients(params_of(opt), i)
        for p, q in zip(params_of(opt), twins):
            q.grad = torch.view_as_real(p.grad)
        opt.step()
        real.step()
        if reads:
            opt.state  # noqa: B018
    for p, q in zip(params_of(opt), twins):
        assert torch.equal(torch.view_as_real(p.detach()), q)
        for name in STATES:
            assert opt.state[p][name].dtype is torch.complex64
            assert torch.equal(torch.view_as_real(opt.state[p][name]), real.state[q][name])
    other = follow(opt, new(dtype=torch.complex64))
    other.load_state_dict(opt.state_dict())
    train(opt, 1)
    train(other, 1)
    assert_alike(opt, other)


def test_steps_in_backward():
    params, twins = (parameters(torch.float32, shapes=SHAPES[:3]) for _ in range(2))
    options = {"lr": 0.01, "state_dtype": "8bit"}
    plain = [ours.Adam([p], seed=i, **options) for i, p in enumerate(twins)]  # as it seeds them
    with StepInBackward(params, ours.Adam, **options):
        for _ in range(3):
            sum((p * p).sum() for p in params).backward()
            sum((p * p).sum() for p in twins).backward()
            for one in plain:
                one.step()
                one.zero_grad()
    assert all(map(torch.equal, params, twins))


def test_a_parameter_whose_gradient_comes_later():
    opt, other = new(amsgrad=False), new(amsgrad=False)
    for i in range(4):
        for one in (opt, other):
            give_gradients(params_of(one), i, resting=(0, 1) if i % 2 else ())
        opt.step()
        other.step()
        opt.state  # noqa: B018
    assert_alike(opt, other)
    train(opt, 1)
    assert held(opt)[0] == DROPPED


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "strided", "misaligned"])
def test_layouts(layout):
    def laid_out(values):
        if layout == "channels_last":
            return values.to(memory_format=torch.channels_last)
        if layout == "transposed":
            return values.transpose(0, 3).contiguous().transpose(0, 3)
        if layout == "strided":
            return values.repeat_interleave(2, 3)[..., ::2]
        wide = torch.empty(values.numel() + 1)
        return wide[1:].copy_(values.reshape(-1)).view(values.shape)

    start = torch.randn(5, 6, 13, 17, generator=torch.Generator().manual_seed(0))
    grads = [torch.randn(start.shape, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    param = laid_out(start).requires_grad_()
    opt = ours.Adam([param], lr=0.01, state_dtype="8bit")
    read = ours.Adam([laid_out(start.clone()).requires_grad_()], lr=0.01, state_dtype="8bit")
    for grad in grads[:3]:
        for one in (opt, read):
            (own,) = params_of(one)
            own.grad = laid_out(grad)
            one.step()
        read.state  # noqa: B018
    assert_alike(opt, read)
    other = ours.Adam([laid_out(param.detach().clone()).requires_grad_()], state_dtype="8bit")
    saved = opt.state_dict()
    for name in STATES[:2]:  # whose memory is in another order when torch has loaded them
        saved["state"][0][name] = saved["state"][0][name].contiguous()
    other.load_state_dict(saved)
    for one in (opt, other):
        (own,) = params_of(one)
        own.grad = laid_out(grads[4])
        one.step()
    assert_alike(opt, other)


def test_a_parameter_that_moved_takes_its_states_along():
    opt, other = train(new(), 2), train(new(), 2)
    for p in params_of(opt):
        p.data = p.detach().clone()
    train(opt, 2)
    train(other, 2)
    assert_alike(opt, other)
