"""What a constructor refuses is refused later, too: in groups, by schedules, in state dicts."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from gpuopt.errors import NotAvailableError  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH  # noqa: E402
from tests.rules.oracles import training  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

VALUES = [math.nan, -math.inf, -1.0, -1e-9, 0.0, 0.5, math.nextafter(1.0, 0.0), 1.0, 1.5, math.inf]
PAIRS = ("betas", "etas", "step_sizes", "betas_1d")


def params(count=2):
    made = [torch.ones(3, requires_grad=True) for _ in range(count)]
    for param in made:
        param.grad = torch.full((3,), 0.5)
    return made


def numbers_of(name):
    """The options of a class that are numbers, and one good value of each."""
    group = getattr(ours, name)(params()).param_groups[0]
    return {
        option: value
        for option, value in group.items()
        if option != "params" and not isinstance(value, (bool, type(None)))
    }


def values_of(option, good):
    if option not in PAIRS:
        return VALUES
    return [(*good[:i], value, *good[i + 1 :]) for i in range(len(good)) for value in VALUES]


EACH = [
    (name, option, good)
    for name in CLASSES
    for option, good in numbers_of(name).items()
    if option != "lr" or not DEFINITIONS[name].shared  # whose groups have one lr
]


def refused(make):
    try:
        make()
    except ValueError as error:
        return str(error)
    return ""


def in_a_group(optimizer, option, value):
    optimizer.param_groups[1][option] = value
    optimizer.step()


def in_a_new_group(optimizer, option, value):
    optimizer.add_param_group({"params": params(1), option: value})
    optimizer.step()


def in_a_state_dict(optimizer, option, value):
    saved = optimizer.state_dict()
    saved["param_groups"][1][option] = value
    optimizer.load_state_dict(saved)
    optimizer.step()


def of_torch_in_a_state_dict(optimizer, option, value):
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0][option] = value
    optimizer.load_state_dict(saved)


WAYS = [in_a_group, in_a_new_group, in_a_state_dict, of_torch_in_a_state_dict]


@pytest.mark.parametrize(("name", "option", "good"), EACH)
def test_what_the_constructor_refuses_is_refused_everywhere(name, option, good):
    cls = getattr(ours, name)
    for value in values_of(option, good):
        expected = bool(refused(lambda v=value: cls(params(), **{option: v})))
        for way in WAYS:
            optimizer = cls([{"params": [p]} for p in params()], **training(name))
            optimizer.step()
            before = [p.detach().clone() for g in optimizer.param_groups for p in g["params"]]
            said = refused(lambda o=optimizer, v=value, w=way: w(o, option, v))
            assert bool(said) == expected, (value, way, said)
            if said:
                assert f"{option}" in said
                assert "param_groups[" in said
                assert "expected a number" in said
                held = [p for g in optimizer.param_groups for p in g["params"]]
                assert all(map(torch.equal, held, before))


@pytest.mark.parametrize("name", OF_TORCH)
def test_the_constructors_refuse_what_torchs_do_and_nan(name):
    for option, good in numbers_of(name).items():
        for value in values_of(option, good):
            mine = refused(lambda o=option, v=value: getattr(ours, name)(params(), **{o: v}))
            theirs = refused(
                lambda o=option, v=value: getattr(torch.optim, name)(params(), **{o: v})
            )
            nan = any(map(math.isnan, value if isinstance(value, tuple) else [value]))
            assert bool(mine) == bool(theirs or nan), (option, value, mine, theirs)


def test_the_message_names_group_option_value_and_range():
    optimizer = ours.Adam([{"params": [p]} for p in params()])
    optimizer.step()
    optimizer.param_groups[1]["betas"] = (1.0, 0.999)
    before = [g["params"][0].detach().clone() for g in optimizer.param_groups]
    for _ in range(2):  # the second step says so, too
        with pytest.raises(
            ValueError,
            match=r"param_groups\[1\]: betas\[0\]: expected a number in \[0, 1\), got 1.0",
        ):
            optimizer.step()
    assert all(torch.equal(g["params"][0], b) for g, b in zip(optimizer.param_groups, before))
    optimizer.param_groups[1]["betas"] = (0.5, 0.999)
    optimizer.step()


def test_a_pair_that_is_changed_in_place():
    optimizer = ours.Lion([{"params": params(), "betas": [0.9, 0.99]}])
    optimizer.step()
    optimizer.param_groups[0]["betas"][1] = 1.5
    with pytest.raises(ValueError, match=r"betas\[1\]: expected a number in \[0, 1\), got 1.5"):
        optimizer.step()


@pytest.mark.parametrize("value", [-0.5, math.nan])
def test_a_rate_on_the_host_is_read_and_one_on_a_device_is_not(value):
    rate = torch.tensor(0.5)
    optimizer = ours.Adam(params(), lr=rate)
    optimizer.step()
    rate.fill_(value)
    with pytest.raises(ValueError, match="lr: expected a number of at least 0, got tensor"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    unreadable = torch.ones((), device="meta")  # reading it raises
    optimizer.add_param_group({"params": params(1), "lr": unreadable})


def test_a_schedule_that_goes_astray():
    optimizer = ours.SGD(params(), lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step)
    optimizer.step()
    schedule.step()
    optimizer.step()  # at 0
    schedule.step()
    with pytest.raises(ValueError, match=r"lr: expected a number of at least 0, got -0\.5"):
        optimizer.step()


@pytest.mark.parametrize("base", [1e-3, 0.1, 100.0])
def test_a_schedule_that_ends_at_zero_but_for_rounding(base):
    """LinearLR from 1/3, its default, to 0: a few 1e-17 of the first rate below zero."""
    below = 0
    for total in range(3, 40):
        optimizer = ours.SGD(params(1), lr=base)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, end_factor=0.0, total_iters=total)
        for _ in range(total):
            optimizer.step()
            schedule.step()
        below += optimizer.param_groups[0]["lr"] < 0
        optimizer.step()
    assert below


def test_only_what_changed_is_checked(monkeypatch):
    """A schedule over many groups costs one look at each, and nothing where nothing changed."""
    checked = []
    monkeypatch.setattr(
        "gpuopt.torch.param_groups.check_changed",
        lambda groups, names, *others: checked.append(list(names)),
    )
    optimizer = ours.Adam([{"params": [p]} for p in params(20)])
    optimizer.step()
    checked.clear()
    for changes in ({}, {"lr": 0.5}, {}, {"eps": 0.5, "betas": (0.5, 0.5)}):
        optimizer.param_groups[7].update(changes)
        optimizer.step()
    assert checked == [["lr"], ["betas", "eps"]]


@pytest.mark.parametrize(
    ("name", "option"), [("Adam", "betas"), ("Rprop", "etas"), ("Rprop", "step_sizes")]
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_member_of_a_pair_that_is_no_number_is_named_as_torch_names_it(name, option, place):
    param = torch.zeros(2, requires_grad=True)
    opt = getattr(ours, name)([param])
    param.grad = torch.ones(2)
    pair = list(opt.param_groups[0][option])
    pair[place] = "x"
    opt.param_groups[0][option] = tuple(pair)
    where = rf"param_groups\[0\]: {option}\[{place}\]"
    with pytest.raises(TypeError, match=f"^{where}: expected a number, got 'x'"):
        opt.step()
    assert not param.any()


def test_options_that_exclude_each_other_do_so_wherever_they_are_set():
    said = r"param_groups\[0\]: nesterov: expected momentum above 0 and dampening 0 beside it"
    (param, *_) = params()
    optimizer = ours.SGD([param], lr=0.5)
    before = param.detach().clone()
    optimizer.param_groups[0]["nesterov"] = True
    with pytest.raises(ValueError, match=said):
        optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.param_groups[0]["dampening"] = 0.5
    with pytest.raises(ValueError, match=said):
        optimizer.step()
    assert torch.equal(param, before - 0.5 * 1.5 * param.grad)
    with pytest.raises(ValueError, match=said):
        ours.SGD([{"params": [param], "nesterov": True}], lr=0.5)


def test_steps_that_a_drop_in_skips_by_itself_are_counted():
    (param, *_) = params()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    optimizer = ours.Adam([param], fused=True)
    for value in (1.0, math.inf):
        param.grad = None
        scaler.scale((param * value).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert optimizer.skipped_steps == 1
    with pytest.raises(NotAvailableError, match="skipped_steps: Adam was made without skip_"):
        _ = ours.Adam([param]).skipped_steps
