"""State dicts of drop-ins with the codes of states in 8 bits, and what they are loaded into."""

import copy
import io
import pickle
import tracemalloc
import warnings

import pytest

torch = pytest.importorskip("torch")

from gpuopt.kernels.storage import BLOCK  # noqa: E402

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.torch import StepInBackward  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, OPTIONS, give_gradients, parameters  # noqa: E402

SHAPES = ((64, 100), (4096,), (7,), (), (0,), (4097,))


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def new(name="Adam", state_dtype="8bit", shapes=SHAPES, dtype=torch.float32, **options):
    params = parameters(dtype, shapes=shapes)
    options = {**OPTIONS.get(name, {}), **options}
    return getattr(ours, name)(params, state_dtype=state_dtype, **options)


def params_of(opt):
    return [p for group in opt.param_groups for p in group["params"]]


def train(opt, steps, first=1):
    for i in range(first, first + steps):
        give_gradients(params_of(opt), i)
        opt.step()
    return opt


def follow(opt, other, saved):
    """Give another optimizer the parameters of one, and a state dict."""
    with torch.no_grad():
        for p, q in zip(params_of(opt), params_of(other)):
            q.copy_(p)
    other.load_state_dict(saved)
    return other


def through_a_file(saved):
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_alike(opt, other):
    for p, q in zip(params_of(opt), params_of(other)):
        assert torch.equal(p, q)
        own, theirs = opt.state.get(p, {}), other.state.get(q, {})
        assert own.keys() == theirs.keys()
        for name, value in own.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name])), name


@pytest.mark.parametrize("way", [copy.deepcopy, through_a_file])
@pytest.mark.parametrize("name", CLASSES)
def test_a_run_goes_on_with_the_same_bits(name, way):
    opt = train(new(name), 3)
    other = follow(opt, new(name), way(opt.state_dict(decoded=False)))
    train(opt, 2, first=7)
    train(other, 2, first=7)
    assert_alike(opt, other)


def test_what_it_has():
    opt = train(new(), 2)
    saved = opt.state_dict(decoded=False)
    assert "state" not in saved
    assert saved["formats_version"] == 1
    for i, p in enumerate(params_of(opt)):
        own, small = saved["coded_state"].get(i, {}), p.numel() < 4096
        assert own["exp_avg"].dtype is (torch.float32 if small else torch.int8)
        assert own["exp_avg"].shape == p.shape
        assert int(own["step"]) == 2
        assert ("exp_avg_scale" in own) == (i in saved["formats"]) == (not small)
        if not small:
            assert own["exp_avg_scale"].shape == (-(-p.numel() // BLOCK),)
            assert own["exp_avg_sq"].dtype is torch.float32  # amsgrad keeps it wide
            assert saved["formats"][i] == {"exp_avg": "softsign8", "max_exp_avg_sq": "root8"}
    assert saved["param_groups"] == opt.state_dict()["param_groups"]
    arrays = gpuopt.Adam([p.detach() for p in params_of(opt)], state_dtype="8bit", amsgrad=True)
    arrays.step([torch.ones_like(p) for p in params_of(opt)])
    theirs = arrays.state_dict()
    assert theirs["formats"] == saved["formats"]
    for i, own in theirs["state"].items():
        assert own.keys() == saved["coded_state"][i].keys()


def test_without_codes_it_is_torchs():
    for opt in (new(), train(new(state_dtype=None), 1), train(new(shapes=((7,),)), 1)):
        one, other = opt.state_dict(decoded=False), opt.state_dict()
        assert one.keys() == other.keys() == {"state", "param_groups"}
        assert str(one) == str(other)


@pytest.mark.parametrize("name", OF_TORCH)
def test_torch_optim_refuses_codes_at_once(name):
    opt = train(new(name), 2)
    saved = opt.state_dict(decoded=False)
    if "formats" not in saved:
        pytest.skip("it has no state in 8 bits")
    theirs = getattr(torch.optim, name)(params_of(opt), **OPTIONS.get(name, {}))
    with pytest.raises(KeyError, match="state"):
        theirs.load_state_dict(saved)
    assert not theirs.state or name == "Adagrad"


@pytest.mark.parametrize("theirs", [None, "8bit", "float16", "bfloat16", "float64", "softsign8"])
@pytest.mark.parametrize("reads", [False, True])
def test_into_every_dtype(theirs, reads):
    """As the decoded state dict, bit for bit."""
    opt = train(new(), 3)
    made = []
    for decoded in (False, True):
        saved = copy.deepcopy(opt.state_dict(decoded=decoded))
        other = follow(opt, new(state_dtype=theirs), saved)
        if reads:
            other.state  # noqa: B018
        made.append(train(other, 2, first=9))
    held = made[0]._tensor_step.step.states[0]["exp_avg"].dtype
    wanted = {None: "float32", "8bit": "int8", "softsign8": "int8"}.get(theirs, theirs)
    if reads or theirs in ("float16", "bfloat16", "float64"):
        wanted = "int8" if wanted == "int8" else "float32"
    assert str(held) in (f"torch.{wanted}", f"torch.{theirs}")
    if theirs in (None, "8bit", "softsign8"):
        assert_alike(*made)


@pytest.mark.parametrize("name", OF_TORCH)
def test_from_torch_optim_to_codes_and_back(name):
    twins = parameters(torch.float32, shapes=SHAPES)
    theirs = getattr(torch.optim, name)(twins, **OPTIONS.get(name, {}))
    for i in range(3):
        give_gradients(twins, i)
        theirs.step()
    opt, plain = new(name), new(name)
    for one in (opt, plain):
        with torch.no_grad():
            for p, q in zip(params_of(one), twins):
                p.copy_(q)
        one.load_state_dict(copy.deepcopy(theirs.state_dict()))
    other = follow(opt, new(name), through_a_file(opt.state_dict(decoded=False)))
    for one in (opt, plain, other):
        train(one, 1, first=5)
    assert_alike(opt, plain)
    assert_alike(other, plain)
    back = getattr(torch.optim, name)(params_of(other), **OPTIONS.get(name, {}))
    back.load_state_dict(other.state_dict())
    give_gradients(params_of(other), 9)
    back.step()


@pytest.mark.parametrize(
    "when", ["at once", "read", "stepped", "copied", "pickled", "moved", "grown"]
)
def test_what_was_loaded_is_there_whatever_comes_next(when):
    opt = train(new(), 3)
    other = follow(opt, train(new(), 1), copy.deepcopy(opt.state_dict(decoded=False)))
    if when == "read":
        assert_alike(opt, other)
    elif when == "stepped":
        train(opt, 1, first=5)
        train(other, 1, first=5)
    elif when == "copied":
        other = copy.deepcopy(other)
    elif when == "pickled":
        other = pickle.loads(pickle.dumps(other))
    elif when == "moved":
        for p in params_of(other):
            p.data = p.detach().clone()
    elif when == "grown":
        for one in (opt, other):
            one.add_param_group({"params": [torch.ones(4097, requires_grad=True)]})
            train(one, 1, first=8)
        return assert_alike(opt, other)
    again = follow(opt, new(), copy.deepcopy(other.state_dict(decoded=False)))
    for one in (opt, other, again):
        train(one, 1, first=8)
    assert_alike(opt, other)
    assert_alike(opt, again)


def test_it_is_live_as_torchs():
    """Nobody copied it: it has the step's own memory, and is of the step at which it is saved."""
    opt = train(new(), 1)
    saved = opt.state_dict(decoded=False)
    own = opt._tensor_step.step.states[0]
    assert saved["coded_state"][0]["exp_avg"] is own["exp_avg"]
    train(opt, 2, first=4)
    again = opt.state_dict(decoded=False)
    assert int(saved["coded_state"][0]["step"]) == int(again["coded_state"][0]["step"]) == 3
    other = follow(opt, new(), saved)
    train(opt, 1, first=8)
    train(other, 1, first=8)
    assert_alike(opt, other)


def test_what_is_loaded_is_copied():
    opt = train(new(), 2)
    saved = opt.state_dict(decoded=False)
    other = follow(opt, new(), saved)
    assert_alike(opt, other)
    for value in saved["coded_state"][0].values():
        value.zero_()
    assert not int(saved["coded_state"][0]["step"])
    train(other, 1)
    assert opt._tensor_step.step.states[0]["exp_avg"].count_nonzero() == 0
    assert other.state[params_of(other)[0]]["exp_avg"].count_nonzero() > 6000


def test_codes_are_not_decoded_on_the_way():
    """Neither saved nor loaded, until somebody reads ``state``."""
    opt = train(new(amsgrad=False), 2)
    saved = copy.deepcopy(opt.state_dict(decoded=False))
    assert sorted(opt._state[params_of(opt)[0]]) == ["rounding_seed", "step"]
    other = follow(opt, new(amsgrad=False), saved)
    assert sorted(other._state[params_of(other)[0]]) == ["rounding_seed", "step"]
    train(other, 1)
    assert not other._coded
    assert sorted(other._state[params_of(other)[0]]) == ["rounding_seed", "step"]
    assert other._tensor_step.step.states[0]["exp_avg"].dtype is torch.int8
    assert sorted(opt.state[params_of(opt)[0]])[:2] == ["exp_avg", "exp_avg_sq"]


def test_codes_of_what_somebody_wrote_into_state():
    opt, other = train(new(), 2), train(new(), 2)
    for one in (opt, other):
        one.state[params_of(one)[0]]["exp_avg"].fill_(0.25)
    saved = copy.deepcopy(opt.state_dict(decoded=False))
    assert saved["coded_state"][0]["exp_avg"].unique().tolist() == [127]
    again = follow(opt, new(), saved)
    for one in (opt, other, again):
        train(one, 1, first=5)
    assert_alike(opt, other)
    assert_alike(again, other)


def test_hooks():
    opt, seen = train(new(), 2), []
    opt.register_state_dict_pre_hook(lambda own: seen.append("before"))
    opt.register_state_dict_post_hook(lambda own, saved: {**saved, "more": sorted(saved["state"])})
    saved = copy.deepcopy(opt.state_dict(decoded=False))
    assert seen == ["before"]
    assert saved.pop("more") == list(range(len(SHAPES)))
    other = new()
    other.register_load_state_dict_post_hook(
        lambda own: seen.append(own.state[params_of(own)[0]]["exp_avg"].dtype)
    )
    follow(opt, other, saved)
    assert seen[1:] == [torch.float32]
    train(opt, 1, first=5)
    train(other, 1, first=5)
    assert_alike(opt, other)


def test_skipped_steps_and_frozen_parameters():
    opt, other = new(skip_nonfinite=True), new(skip_nonfinite=True)
    train(opt, 2)
    give_gradients(params_of(opt), 5)
    params_of(opt)[0].grad[0] = float("nan")
    opt.step()
    for p in params_of(other)[:2]:
        p.requires_grad_(False)
    saved = through_a_file(opt.state_dict(decoded=False))
    assert saved["skipped_steps"] == 1
    for own in saved["coded_state"].values():
        own.pop("rounding_seed", None)
    follow(opt, other, saved)
    for i, (p, q) in enumerate(zip(params_of(opt), params_of(other))):
        p.grad = q.grad = torch.full_like(p, 0.5) if i > 1 else None
    opt.step()
    other.step()
    assert other.skipped_steps == 1
    for p in params_of(other)[:2]:
        p.requires_grad_(True)
    train(opt, 1, first=8)
    train(other, 1, first=8)
    assert_alike(opt, other)


def test_frozen_parameters_without_a_count():
    opt = train(new("SGD", momentum=0.9), 2)
    saved = through_a_file(opt.state_dict(decoded=False))
    for own in saved["coded_state"].values():
        for name in ("rounding_seed", "step"):
            own.pop(name, None)
    other = new("SGD", momentum=0.9)
    for p in params_of(other):
        p.requires_grad_(False)
    follow(opt, other, saved)
    for p, q in zip(params_of(opt)[:2], params_of(other)):
        assert torch.equal(opt.state[p]["momentum_buffer"], other.state[q]["momentum_buffer"])


def test_codes_that_move_though_nobody_looks_at_them_count():
    opt = new()
    for _ in range(2):  # the second step finds states that nobody was shown
        train(opt, 1)
    saved = opt.state_dict(decoded=False)
    own = saved["coded_state"][0]["exp_avg"]
    kept = own.data  # a step that writes there is wrong, and does not crash
    own.data = torch.zeros_like(own)
    before = kept.clone()
    train(opt, 1)
    assert torch.equal(kept, before)
    assert own.count_nonzero() > 6000


def test_all_of_many_are_checked_before_one_is_loaded():
    params = parameters(torch.float32, shapes=SHAPES[:2])
    one = StepInBackward(params, ours.Adam, lr=0.01, state_dtype="8bit")
    sum((p * p).sum() for p in params).backward()
    saved = copy.deepcopy(one.state_dict(decoded=False))
    before = saved["coded_state"][0]["exp_avg"].clone()
    saved["coded_state"][0]["exp_avg"].zero_()
    saved["orders"] = {1: [3]}
    with pytest.raises(ValueError, match="in 'orders'"):
        one.load_state_dict(saved)
    now = one.state_dict(decoded=False)["coded_state"][0]["exp_avg"]
    assert torch.equal(now, before)


def test_complex_parameters():
    opt = train(new(dtype=torch.complex64), 2)
    saved = through_a_file(opt.state_dict(decoded=False))
    assert saved["coded_state"][0]["exp_avg"].shape == (64, 100, 2)
    other = follow(opt, new(dtype=torch.complex64), saved)
    train(opt, 2, first=5)
    train(other, 2, first=5)
    assert_alike(opt, other)
    wide = follow(opt, new(dtype=torch.complex64, state_dtype=None), copy.deepcopy(saved))
    assert wide.state[params_of(wide)[0]]["exp_avg"].dtype is torch.complex64


LAYOUTS = {
    "contiguous": lambda values: values.clone(),
    "channels_last": lambda values: values.to(memory_format=torch.channels_last),
    "transposed": lambda values: values.transpose(0, 3).contiguous().transpose(0, 3),
    "strided": lambda values: values.repeat_interleave(2, 3)[..., ::2],
}


@pytest.mark.parametrize("saved", LAYOUTS)
@pytest.mark.parametrize("loaded", LAYOUTS)
@pytest.mark.parametrize("dense", [False, True])
def test_a_block_is_of_the_memory_that_was_saved(saved, loaded, dense):
    """Into another order they come as values; those are the ones that were saved."""
    start = torch.randn(5, 6, 13, 17, generator=torch.Generator().manual_seed(0))
    sizes = torch.logspace(-6, 6, 17)  # a scale of another block would be far off
    opt = ours.Adam([LAYOUTS[saved](start).requires_grad_()], lr=0.01, state_dtype="8bit")
    params_of(opt)[0].grad = start.flip(0) * sizes
    opt.step()
    codes = through_a_file(opt.state_dict(decoded=False))
    if dense:
        for name in ("exp_avg", "exp_avg_sq"):
            codes["coded_state"][0][name] = codes["coded_state"][0][name].contiguous()
    param = LAYOUTS[loaded](params_of(opt)[0].detach())
    other = ours.Adam([param.requires_grad_()], lr=0.01, state_dtype="8bit")
    other.load_state_dict(codes)
    one, two = opt.state_dict()["state"][0], other.state_dict()["state"][0]
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(one[name], two[name])
    if LAYOUTS[saved](start).stride() == LAYOUTS[loaded](start).stride():
        for each in (opt, other):
            params_of(each)[0].grad = start * sizes
            each.step()
        assert_alike(opt, other)


def test_steps_in_backward():
    def made():
        params = parameters(torch.float32, shapes=SHAPES[:3])
        return params, StepInBackward(params, ours.Adam, lr=0.01, state_dtype="8bit")

    params, one = made()
    twins, two = made()
    sum((p * p).sum() for p in params).backward()
    saved = through_a_file(one.state_dict(decoded=False))
    assert saved["coded_state"][0]["exp_avg"].dtype is torch.int8
    two.load_state_dict(saved)
    with torch.no_grad():
        for p, q in zip(params, twins):
            q.copy_(p)
    for own in (params, twins):
        sum((p * p).sum() for p in own).backward()
    assert all(map(torch.equal, params, twins))


MILLION = 1 << 20
PIECES = 48 * (1 << 15) * 4
"""Bytes of the temporaries of one piece, generously."""


def test_memory_of_a_large_state(monkeypatch):
    """What is saved is the step's own memory; what is loaded takes that of its codes."""
    monkeypatch.setattr(torch, "full_like", counted := Counted(torch.full_like))
    param = torch.ones(8 * MILLION, requires_grad=True)
    opt = ours.Adam([param], state_dtype="8bit")
    param.grad = torch.full_like(param, 0.5)
    opt.step()
    counted.bytes = 0
    tracemalloc.start()
    try:
        saved = opt.state_dict(decoded=False)
        assert counted.bytes == 0
        other = ours.Adam([param], state_dtype="8bit")
        other.load_state_dict(saved)
        assert counted.bytes == 2 * 8 * MILLION
        other.step()
        assert counted.bytes == 2 * 8 * MILLION
        assert tracemalloc.get_traced_memory()[1] < PIECES
    finally:
        tracemalloc.stop()


class Counted:
    """A function that makes tensors, and the bytes of those that it has made."""

    def __init__(self, function):
        self.function, self.bytes = function, 0

    def __call__(self, *args, **options):
        made = self.function(*args, **options)
        self.bytes += made.nbytes
        return made


# --- bad ones -----------------------------------------------------------------------------------

SCALE = "exp_avg_scale"
BAD = {
    "no scales": (
        lambda s, own: own.pop(SCALE),
        TypeError,
        "a tensor as 'exp_avg_scale', got None",
    ),
    "too few scales": (
        lambda s, own: own.update({SCALE: own[SCALE][:-1]}),
        ValueError,
        r"expected 'exp_avg_scale' of torch.float32 and shape \(200,\), got .* shape \(199,\)",
    ),
    "scales of another dtype": (
        lambda s, own: own.update({SCALE: own[SCALE].double()}),
        ValueError,
        "got torch.float64",
    ),
    "scales that are none": (lambda s, own: own.update({SCALE: "x"}), TypeError, "exp_avg_scale"),
    "codes of another dtype": (
        lambda s, own: own.update(exp_avg=own["exp_avg"].view(torch.uint8)),
        ValueError,
        "expected 'exp_avg' of torch.int8 .* got torch.uint8",
    ),
    "codes of another shape": (
        lambda s, own: own.update(exp_avg=own["exp_avg"].T),
        ValueError,
        r"shape \(64, 100\), got torch.int8 and shape \(100, 64\)",
    ),
    "codes cut": (
        lambda s, own: own.update(exp_avg=own["exp_avg"][:-1]),
        ValueError,
        r"and shape \(63, 100\)",
    ),
    "no codes": (lambda s, own: own.pop("exp_avg"), ValueError, "without 'exp_avg'"),
    "no state": (lambda s, own: s["coded_state"].pop(0), TypeError, "expected a tensor"),
    "no states at all": (lambda s, own: s.pop("coded_state"), ValueError, "expected that of"),
    "codes without a format": (
        lambda s, own: s["formats"].pop(0),
        TypeError,
        "expected one of float64.*, got torch.int8",
    ),
    "no formats": (lambda s, own: s.pop("formats"), TypeError, "got torch.int8"),
    "an unknown format": (
        lambda s, own: s["formats"][0].update(exp_avg="softsign9"),
        ValueError,
        "in the format 'softsign9'; known: softsign8, root8; register_format adds others",
    ),
    "a format that is no name": (
        lambda s, own: s["formats"][0].update(exp_avg=["softsign8"]),
        ValueError,
        r"in the format \['softsign8'\]",
    ),
    "a newer version": (
        lambda s, own: s.update(formats_version=2),
        ValueError,
        "states in 8 bits of version 2, which a newer gpuopt has written",
    ),
    "formats that are no dict": (lambda s, own: s.update(formats=[1]), TypeError, "'formats'"),
    "formats of no parameter": (
        lambda s, own: s["formats"].update({99: {}}),
        ValueError,
        "an unknown parameter 99",
    ),
    "a format of another optimizer's state": (
        lambda s, own: s["formats"][0].update(momentum_buffer="softsign8"),
        ValueError,
        "codes of .*momentum_buffer",
    ),
    "an order of other axes": (
        lambda s, own: s.update(orders={0: [0, 2]}),
        ValueError,
        r"the axes of an array of shape \(64, 100\) in 'orders', got \[0, 2\]",
    ),
    "orders that are no dict": (lambda s, own: s.update(orders=3), ValueError, "'orders', got 3"),
    "of another class": (
        lambda s, own: [group.pop("betas") for group in s["param_groups"]],
        ValueError,
        "without .*betas",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_one_is_refused(case):
    change, error, said = BAD[case]
    opt = train(new(), 1)
    saved = copy.deepcopy(train(new(), 3).state_dict(decoded=False))
    change(saved, saved["coded_state"][0])
    before = copy.deepcopy(opt.state_dict(decoded=False))
    with pytest.raises(error, match=said):
        opt.load_state_dict(saved)
    after = opt.state_dict(decoded=False)
    for part in ("param_groups", "formats", "formats_version"):
        assert before[part] == after[part]
    for i, own in before["coded_state"].items():
        assert after["coded_state"][i].keys() == own.keys()
        for name, value in own.items():
            assert torch.equal(after["coded_state"][i][name], value)
    train(opt, 1)


def test_nothing_is_said_of_codes():
    opt = train(new(), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        follow(opt, new(), opt.state_dict(decoded=False))
