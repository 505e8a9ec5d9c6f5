"""What works on any optimizer of torch's, and the bugs that others had."""

import threading

import pytest

torch = pytest.importorskip("torch")

from torch.optim import optimizer as for_all  # noqa: E402

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import (  # noqa: E402
    CLASSES,
    OF_TORCH,
    Pair,
    accepts,
    assert_close,
    give_gradients,
    parameters,
)
from tests.rules.oracles import training  # noqa: E402
from tests.tolerances import TOLERANCES  # noqa: E402


@pytest.mark.parametrize("name", OF_TORCH)
def test_they_are_torchs_classes(name):
    optimizer = getattr(ours, name)(parameters())
    assert isinstance(optimizer, getattr(torch.optim, name))
    assert optimizer.defaults == getattr(torch.optim, name)(parameters()).defaults


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("option", ["foreach", "capturable", "fused"])
def test_what_is_given_anyway_is_accepted(name, option):
    if not accepts(name, option):
        pytest.skip(f"{name} has no {option}")
    params = parameters(torch.float32)
    optimizer = getattr(ours, name)(params, **{option: True}, **training(name))
    give_gradients(params, 0)
    optimizer.step()


@pytest.mark.parametrize("name", [n for n in CLASSES if accepts(n, "differentiable")])
def test_what_cannot_be_given_is_refused(name):
    with pytest.raises((ValueError, RuntimeError), match="differentia"):
        getattr(ours, name)(parameters(), differentiable=True)


# --- groups, closures, hooks ---------------------------------------------------------------------


def own_adagrad_takes_a_late_group():
    """Whether its step makes states: torch 2.13's does, those of 2.6 and 2.11 do not."""
    first, late = parameters()[:2]
    optimizer = torch.optim.Adagrad([first])
    optimizer.add_param_group({"params": [late]})
    late.grad = torch.ones_like(late)
    try:
        optimizer.step()
    except KeyError as error:
        assert error.args == ("sum",)
        return False
    return True


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", OF_TORCH)
def test_groups_with_options_of_their_own_and_one_that_comes_late(name):
    if name == "Adagrad" and not own_adagrad_takes_a_late_group():
        pytest.skip("this torch's own Adagrad makes no states for a group that comes late")
    pairs = parameters(), parameters()
    made = []
    for module, params in zip((ours, torch.optim), pairs):
        groups = [{"params": params[:2]}, {"params": params[2:4], "lr": 0.5}]
        optimizer = getattr(module, name)(groups, lr=0.1)
        for step in range(6):
            if step == 3:
                optimizer.add_param_group({"params": params[4:], "lr": 0.25})
            give_gradients(params, step)
            optimizer.step()
        made.append(optimizer)
    assert_close(*pairs)
    assert made[0].state_dict()["param_groups"] == made[1].state_dict()["param_groups"]


def test_named_parameters_are_named_in_errors():
    params = parameters()
    optimizer = ours.SGD([(f"layer.{i}", p) for i, p in enumerate(params)], lr=0.1)
    params[1].grad = torch.ones(7, dtype=torch.float64)
    optimizer.step()
    params[1].data = params[1].data.expand(2, 7)[0].as_strided((7,), (0,))
    with pytest.raises(ValueError, match=r"layer\.1: elements of the array overlap"):
        optimizer.step()


def test_a_closure_sees_gradients_and_its_loss_comes_back():
    param = torch.ones(3, requires_grad=True)
    optimizer = ours.SGD([param], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 3.0
    assert param.tolist() == [0.5] * 3


def test_hooks_run_once_for_each_step():
    params, seen = parameters(), []
    optimizer = ours.Adam(params)
    optimizer.register_step_pre_hook(lambda o, a, k: seen.append("before"))
    optimizer.register_step_post_hook(lambda o, a, k: seen.append("after"))
    give_gradients(params, 0)
    optimizer.step()
    assert seen == ["before", "after"]


@pytest.mark.parametrize("kind", ["pre", "post"])
@pytest.mark.parametrize("all_optimizers", [False, True])
def test_one_kind_of_hook_is_enough(kind, all_optimizers):
    params, seen = parameters(), []
    optimizer = ours.Adam(params)
    of = for_all if all_optimizers else optimizer
    name = f"register_{'optimizer_' * all_optimizers}step_{kind}_hook"
    handle = getattr(of, name)(lambda o, a, k: seen.append(o))
    give_gradients(params, 0)
    optimizer.step()
    handle.remove()
    assert seen == [optimizer]


@pytest.mark.parametrize("all_optimizers", [False, True])
def test_a_hook_that_the_closure_registers_follows_this_step(all_optimizers):
    def run(library):
        param = torch.ones(3, requires_grad=True)
        param.grad = torch.ones(3)
        optimizer, seen, handles = library.SGD([param], lr=0.5), [], []
        register = optimizer.register_step_post_hook
        if all_optimizers:
            register = for_all.register_optimizer_step_post_hook

        def closure():
            handles.append(register(lambda o, a, k: seen.append((o is optimizer, len(a), k))))
            return param.sum()

        optimizer.step(closure)
        optimizer.step(closure=lambda: 0.0)
        handles[0].remove()
        optimizer.step()
        return [(same, count, list(named)) for same, count, named in seen]

    assert run(ours) == run(torch.optim) == [(True, 2, []), (True, 1, ["closure"])]


def test_a_profiler_shows_the_step_by_torchs_name():
    params = parameters()
    optimizer = ours.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
    named = [event.name for event in profile.events() if event.name.startswith("Optimizer.step#")]
    assert named == ["Optimizer.step#Adam.step"]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    pair = Pair("Adam")
    for _ in range(3):
        pair.step()
        for optimizer in (pair.mine, pair.theirs):
            optimizer.zero_grad(set_to_none=set_to_none)
            optimizer.step()
    pair.assert_close()


# torch 2.6 warns of an argument that its own SequentialLR passes.
OWN_WARNING = pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler:UserWarning")

SCHEDULERS = {
    "StepLR": lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
    "LambdaLR": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda n: 1 / (1 + n)),
    "MultiplicativeLR": lambda o: torch.optim.lr_scheduler.MultiplicativeLR(o, lambda n: 0.9),
    "MultiStepLR": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 4]),
    "ConstantLR": lambda o: torch.optim.lr_scheduler.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 5),
    "CosineAnnealingLR": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        o, 3
    ),
    "CyclicLR": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, 2),
    "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    "SequentialLR": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o, [SCHEDULERS["LinearLR"](o), SCHEDULERS["ExponentialLR"](o)], [3]
    ),
    "ChainedScheduler": lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [SCHEDULERS["ConstantLR"](o), SCHEDULERS["StepLR"](o)]
    ),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.02, 4),
}


def test_no_scheduler_is_missing():
    module = torch.optim.lr_scheduler
    known = {
        name for name in module.__all__ if issubclass(getattr(module, name), module.LRScheduler)
    }
    assert known - {"LRScheduler", "ReduceLROnPlateau"} <= set(SCHEDULERS)


@OWN_WARNING
@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_schedulers(name, scheduler):
    pair = Pair(name, **({"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}))
    schedules = scheduler(pair.mine), scheduler(pair.theirs)
    for _ in range(8):
        pair.step()
        for schedule in schedules:
            schedule.step()
    pair.assert_close()
    assert pair.mine.param_groups[0]["lr"] == pair.theirs.param_groups[0]["lr"]


@OWN_WARNING
@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
def test_schedulers_of_a_tensor(scheduler):
    """They write the rate in place, where torch's version does."""
    found = []
    for module in (ours, torch.optim):
        params = parameters(torch.float32)
        optimizer = module.Adam(params, lr=torch.tensor(0.1))
        schedule = scheduler(optimizer)
        for step in range(8):
            give_gradients(params, step)
            optimizer.step()
            schedule.step()
        found.append(params)
    assert_close(*found, "formula float32")


def test_reduce_on_plateau():
    pair = Pair("Adam", lr=0.1)
    for optimizer in (pair.mine, pair.theirs):
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        for loss in (1.0, 2.0, 3.0):
            schedule.step(loss)
    pair.step(2).assert_close()


# --- parameters that change ----------------------------------------------------------------------


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", OF_TORCH)
def test_a_first_gradient_that_comes_late_and_rests_between(name):
    pair = Pair(name)
    pair.step(2, resting=(0, 2)).step(1).step(2, resting=(1,)).step(2).assert_close()


def test_parameters_that_are_frozen_for_a_while():
    pair = Pair("Adam").step(2)
    for params in (pair.params, pair.twins):
        params[0].requires_grad_(False)
    pair.step(2, resting=(0,))
    for params in (pair.params, pair.twins):
        params[0].requires_grad_(True)
    pair.step(2).assert_close()


def test_momentum_that_is_switched_on_in_mid_run():
    pair = Pair("SGD", lr=0.1, dampening=0.5).step(2)
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups[0]["momentum"] = 0.9
    pair.step(2, resting=(0,)).step(2).assert_close()


def test_conjugated_parameters_are_refused():
    param = torch.ones(3, dtype=torch.complex64).conj().requires_grad_()
    optimizer = ours.SGD([param], lr=0.1)
    param.grad = torch.ones(3, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"params\[0\]: expected a plain tensor, got a conjugated"):
        optimizer.step()


def test_parameters_whose_data_is_replaced():
    pair = Pair("Adam").step(2)
    for params in (pair.params, pair.twins):
        params[0].data = params[0].data.clone() * 2
        params[4].data = params[4].data.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    pair.step(2).assert_close()


def test_parameters_that_are_cast_go_on_with_their_states():
    pair = Pair("Adam", torch.float32).step(2)
    for param in pair.params:
        param.grad = None
        param.data = param.data.to(torch.bfloat16)
    before = pair.mine.state[pair.params[0]]["exp_avg"].clone()
    give_gradients(pair.params, 2)
    pair.mine.step()
    held = pair.mine.state[pair.params[0]]
    assert held["exp_avg"].dtype == torch.float32
    assert held["step"].item() == 3
    expected = 0.9 * before + 0.1 * pair.params[0].grad.float()
    torch.testing.assert_close(held["exp_avg"], expected)


def test_a_parameter_that_takes_another_shape_is_refused_if_it_has_states():
    param = torch.zeros(3, requires_grad=True)
    optimizer = ours.Adam([param])
    param.grad = torch.ones(3)
    optimizer.step()
    param.grad = None
    param.data = torch.zeros(4)
    param.grad = torch.ones(4)
    with pytest.raises(ValueError, match=r"state 'exp_avg.*' of params\[0\]: expected shape \(4,"):
        optimizer.step()


def test_a_parameter_without_states_may_take_another_shape():
    param = torch.ones(3, requires_grad=True)
    optimizer = ours.SGD([param], lr=0.5)
    for shape in ((3,), (2, 2), (5,)):
        param.grad = None
        param.data = torch.ones(shape)
        param.grad = torch.ones(shape)
        optimizer.step()
        assert (param == 0.5).all()


def test_parameters_that_become_complex_and_real_again():
    param = torch.ones(3, requires_grad=True)
    optimizer = ours.SGD([param], lr=0.5)
    for dtype in (torch.float32, torch.complex64, torch.float32):
        param.grad = None
        param.data = torch.ones(3, dtype=dtype)
        param.grad = torch.ones(3, dtype=dtype)
        optimizer.step()
        assert (param == 0.5).all()


def test_parameters_that_are_swapped_for_others_in_their_group():
    params = parameters()
    optimizer = ours.Adam(params, lr=0.5)
    give_gradients(params, 0)
    optimizer.step()
    other = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer.param_groups[0]["params"][0] = other
    other.grad = torch.ones(3, dtype=torch.float64)
    kept = params[0].detach().clone()
    optimizer.step()
    assert params[0].equal(kept)
    step = 0.5 / (1 + 1e-8)  # Adam's first: lr*g / (|g| + eps)
    assert other.tolist() == pytest.approx([-step] * 3, rel=TOLERANCES["worked value"].relative)
    assert optimizer.state[other]["step"].item() == 1


def test_a_parameter_that_moves_to_another_group_takes_its_options():
    """Even if the parameters and their order stay the same."""
    pair = Pair("Adam")
    for optimizer, params in ((pair.mine, pair.params), (pair.theirs, pair.twins)):
        optimizer.param_groups[0]["params"] = params[:2]
        optimizer.add_param_group({"params": params[2:], "lr": 0.5})
    pair.step(2)
    for optimizer in (pair.mine, pair.theirs):
        first, last = optimizer.param_groups
        first["params"].append(last["params"].pop(0))
    pair.step(2).assert_close()


def test_groups_that_are_removed_take_no_step():
    pair = Pair("Adam")
    for optimizer, params in ((pair.mine, pair.params), (pair.theirs, pair.twins)):
        first, last = params[:2], params[2:]
        optimizer.param_groups[0]["params"] = first
        optimizer.add_param_group({"params": last})
    pair.step(2)
    for optimizer in (pair.mine, pair.theirs):
        del optimizer.param_groups[0]
    assert pair.mine.state[pair.params[0]]["step"].item() == 2  # looked at after the group is gone
    pair.step(2).assert_close()
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups.clear()
    pair.step(1).assert_close()
    assert pair.mine.state[pair.params[4]]["step"].item() == 4


def test_tied_parameters_of_a_model_are_updated_once():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 4, bias=False) for _ in range(2)]
    model = torch.nn.Sequential(*layers)
    model[1].weight = model[0].weight
    optimizer = ours.SGD(model.parameters(), lr=1.0)
    before = model[0].weight.detach().clone()
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert model[0].weight.equal(before - model[0].weight.grad)


def test_one_parameter_given_twice_is_refused():
    param = torch.zeros(3, requires_grad=True)
    other = torch.zeros(2, requires_grad=True)
    said = r"params: a parameter is given twice, at 0 and at 2, of shape \(3,\)"
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=said):
        ours.SGD([param, other, param], lr=1.0)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", OF_TORCH)
def test_channels_last_and_strided_parameters_and_gradients(name):
    shapes = ((2, 3, 4, 5), (6, 8))
    pair = Pair(name, shapes=shapes)
    for params in (pair.params, pair.twins):
        params[0].data = params[0].data.to(memory_format=torch.channels_last)
        params[1].data = torch.cat([params[1].data] * 2)[::2]
    pair.step(4).assert_close()


def test_autograd_notices_the_update():
    param = torch.ones(3, requires_grad=True)
    loss = (param * param).sum()
    optimizer = ours.Adam([param])
    param.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", CLASSES)
def test_sparse_gradients_are_refused_and_nothing_changes(name):
    params = [torch.ones(4, 4, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = getattr(ours, name)(params, **training(name))
    params[0].grad = torch.eye(4).to_sparse()
    params[1].grad = torch.ones(3)
    with pytest.raises(RuntimeError, match=f"{name} does not support sparse gradients"):
        optimizer.step()
    assert all(bool((p == 1).all()) for p in params)
    params[0].grad = torch.ones(4, 4)
    optimizer.step()


def test_a_bad_gradient_moves_no_weight():
    params = [torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = ours.AdamW(params)
    params[0].grad = torch.ones(3)
    params[1].grad = torch.ones(3)
    params[1].data = torch.ones(1).expand(3)
    with pytest.raises(ValueError, match="overlap"):
        optimizer.step()
    assert params[0].tolist() == [1, 1, 1]


def test_two_optimizers_in_two_threads():
    pairs = [Pair("Adam", torch.float32) for _ in range(2)]
    threads = [threading.Thread(target=pair.step, args=(20,)) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pair in pairs:
        assert pair.taken == 20
        pair.assert_close("formula float32")


def test_one_optimizer_in_four_threads_counts_every_step():
    param = torch.zeros(10_000, requires_grad=True)
    param.grad = torch.ones(10_000)
    optimizer = ours.Adam([param])
    threads = [
        threading.Thread(target=lambda: [optimizer.step() for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert optimizer.state[param]["step"].item() == 800


def test_momentum_is_the_missions_form():
    param = torch.zeros(1, requires_grad=True)
    optimizer = ours.Momentum([param], lr=0.5, beta=0.5)
    for rate in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        param.grad = torch.ones(1)
        optimizer.step()
    assert param.item() == -0.5 - (0.5 * 0.5 + 0.25)


def test_lion_follows_the_sign():
    param = torch.zeros(3, requires_grad=True)
    optimizer = ours.Lion([param], lr=0.5, weight_decay=0.5)
    for grad in ([1.0, -2.0, 0.0], [-0.01, 20.0, 0.0]):
        param.grad = torch.tensor(grad)
        optimizer.step()
    assert param.tolist() == [-0.5 * 0.75 - 0.5, 0.5 * 0.75 - 0.5, 0]


@pytest.mark.parametrize("name", ["Momentum", "Lion"])
@pytest.mark.parametrize(
    "options", [{"lr": -1.0}, {"weight_decay": -1.0}, {"lr": torch.ones(2)}, {"bad": True}]
)
def test_arguments_that_make_no_sense(name, options):
    if "bad" in options:
        options = {"beta": 1.0} if name == "Momentum" else {"betas": (0.9, 1.0)}
    with pytest.raises(ValueError, match=r"^\w+(\[1\])?: expected a number .*, got "):
        getattr(ours, name)(parameters(), **options)


# --- options ------------------------------------------------------------------------------------


CHANGED_IN_PLACE = {
    "Adam": (
        lambda: {"betas": (torch.tensor(0.9), torch.tensor(0.99))},
        lambda group: group["betas"][0].fill_(0.25),
    ),
    "Rprop": (
        lambda: {"etas": [0.5, 1.2], "lr": 0.5},
        lambda group: group["etas"].__setitem__(0, 0.25),
    ),
}


@pytest.mark.parametrize("name", CHANGED_IN_PLACE)
def test_a_number_of_a_pair_may_be_changed_in_place(name):
    options, change = CHANGED_IN_PLACE[name]
    found = []
    for module in (ours, torch.optim):
        param = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
        optimizer = getattr(module, name)([param], **options())
        for grad in (torch.ones(3), torch.tensor([2.0, -1.0, 0.5])):
            param.grad = grad
            optimizer.step()
            change(optimizer.param_groups[0])
        found.append([param])
    assert_close(*found, "formula float32")


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"])
def test_a_pair_has_two_numbers(name):
    param = torch.ones(3, requires_grad=True)
    optimizer = getattr(ours, name)([param], betas=(0.9, 0.99, 0.5))
    param.grad = torch.ones(3)
    with pytest.raises(ValueError, match=r"betas: expected 2 numbers, got \(0.9, 0.99, 0.5\)"):
        optimizer.step()
    assert param.tolist() == [1, 1, 1]


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adagrad"])
def test_steps_are_counted_in_torchs_dtype(name, fused):
    dtypes = []
    for module in (ours, torch.optim):
        param = torch.ones(3, requires_grad=True)
        optimizer = getattr(module, name)([param], fused=fused)
        param.grad = torch.ones(3)
        optimizer.step()
        dtypes.append(optimizer.state[param]["step"].dtype)
    assert dtypes[0] == dtypes[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CLASSES)
def test_an_infinite_learning_rate_is_no_warning(name):
    param = torch.ones(3, requires_grad=True)
    optimizer = getattr(ours, name)([param], lr=float("inf"), **training(name))
    for _ in range(2):
        param.grad = torch.ones(3)
        optimizer.step()


def test_averages_of_complex_parameters_are_exchanged():
    param = torch.full((4,), 1 + 1j, requires_grad=True)
    optimizer = ours.SGD([param], lr=0.5, ema_decay=0.5)
    for _ in range(2):
        param.grad = torch.ones_like(param)
        optimizer.step()
    own, average = param.tolist(), optimizer.ema[param].tolist()
    assert own != average
    with optimizer.ema_weights():
        assert param.tolist() == average
    assert param.tolist() == own
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert param.tolist() == [number - 0.5 for number in own]
