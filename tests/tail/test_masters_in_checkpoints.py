"""Masters of one kind, saved and loaded into another: float32, and what bfloat16 cuts off."""

import copy
import io
import tracemalloc
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gpuopt.kernels.roundings import join_split16  # noqa: E402

import gpuopt  # noqa: E402
import gpuopt.torch as drop_ins  # noqa: E402
from gpuopt.engine.groups import Groups  # noqa: E402
from gpuopt.engine.masters import float32_masters, remainders_of, round_to  # noqa: E402
from gpuopt.rules.split import join8  # noqa: E402

KINDS = (True, "split16", "split8")
SHAPES = ((300,), (17, 5), (), (0,))
OPTIONS = {"lr": 0.01, "seed": 3}


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def drawn(seed, dtype=torch.bfloat16, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


class Arrays:
    """An optimizer over plain arrays."""

    def __init__(self, params, **options):
        self.params = params
        self.opt = gpuopt.Adam(params, **{**OPTIONS, **options})

    def step(self, grads):
        self.opt.step(grads)

    def held(self, i):
        return self.opt.state.get(i, {})


class DropIns(Arrays):
    """A drop-in."""

    def __init__(self, params, **options):
        self.params = [p.requires_grad_() for p in params]
        self.opt = drop_ins.Adam(self.params, **{**OPTIONS, **options})

    def step(self, grads):
        for param, grad in zip(self.params, grads):
            param.grad = grad
        self.opt.step()

    def held(self, i):
        return self.opt.state.get(self.params[i], {})


def as_integers(rest):
    """The rests of weights: in ``state`` of a drop-in, 16 bits have the dtype bfloat16."""
    return rest.view(torch.int16) if rest.dtype is torch.bfloat16 else rest


def weights(one):
    """The weights that an optimizer trains, in float32."""
    found = []
    for i, param in enumerate(one.params):
        held, p = one.held(i), param.detach().float().numpy()
        if "master" in held:
            found.append(held["master"].numpy().copy())
        elif "param_remainder" in held:
            rest = as_integers(held["param_remainder"])
            join = join_split16 if rest.dtype is torch.int16 else join8
            found.append(np.float32(join(p, rest.numpy().astype(np.float32))))
        else:
            found.append(p.copy())
    return found


def assert_same(mine, theirs):
    for one, other in zip(mine, theirs):
        assert np.array_equal(one.view(np.uint32), other.view(np.uint32))


def assert_same_run(one, other, steps=4):
    """The same weights from here on, and the same states."""
    for i in range(steps):
        for each in (one, other):
            each.step(drawn(50 + i))
        assert_same(weights(one), weights(other))
    for i in range(len(SHAPES)):
        mine, theirs = one.held(i), other.held(i)
        for name in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(mine[name], theirs[name])


def trained(api, kind, steps=3, **options):
    one = api(drawn(0), master_weights=kind, **options)
    for i in range(steps):
        one.step(drawn(1 + i))
    return one


def follow(one, kind, saved=None, **options):
    """An optimizer with the parameters of another, and its state dict."""
    twins = [p.detach().clone() for p in one.params]
    other = type(one)(twins, master_weights=kind, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.opt.load_state_dict(copy.deepcopy(one.opt.state_dict()) if saved is None else saved)
    return other


def make_ties(one):
    """Give an optimizer float32 masters in the middle of two bfloat16, and on either side."""
    for i, param in enumerate(one.params):
        master = one.held(i)["master"]
        bits = master.numpy().reshape(-1).view(np.uint32)
        bits[...] = bits & np.uint32(0xFFFF0000) | np.uint32(0x8000)
        bits[::3] += 1
        bits[1::5] -= 1
        with torch.no_grad():
            param.copy_(master)


def converted(one):
    """The states of an optimizer in the kind that its next step takes, before that step."""
    if isinstance(one, DropIns):
        own, groups = one.opt._tensor_step_for(one.params).step, one.opt._groups()
    else:
        own, groups = one.opt._fused, one.opt._groups(1.0)
    own._states.allocate(range(len(SHAPES)), Groups.of(groups))
    return own._states.arrays


both = pytest.mark.parametrize("api", [Arrays, DropIns])


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", [False, True])
def test_a_run_that_was_saved_goes_on(api, kind, reads):
    one = trained(api, kind)
    other = follow(one, kind)
    if reads:  # a drop-in loads what it has shown
        for i in range(4):
            one.held(0)
            other.opt.state_dict()
            for each in (one, other):
                each.step(drawn(20 + i))
    assert_same(weights(one), weights(other))
    assert_same_run(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, tmp_path):
    pytest.importorskip("safetensors")
    one = trained(Arrays, kind)
    one.opt.save(tmp_path / "arrays")
    other = Arrays([p.clone() for p in one.params], master_weights=kind)
    other.opt.load(tmp_path / "arrays")
    assert_same_run(one, other)
    one, file = trained(DropIns, kind), io.BytesIO()
    torch.save(one.opt.state_dict(), file)
    file.seek(0)
    assert_same_run(one, follow(one, kind, torch.load(file, weights_only=True)))


@both
@pytest.mark.parametrize("kind", ["split16", True])
@pytest.mark.parametrize("ties", [False, True])
def test_float32_and_split16_are_each_others_without_loss(api, kind, ties):
    one = trained(api, True)
    if ties:
        make_ties(one)
    if kind is True:  # back
        one = follow(one, "split16")
        one.step(drawn(9))
    other = follow(one, kind)
    assert_same_run(one, other)
    name, gone = ("master", "param_remainder")[:: 1 if kind is True else -1]
    assert name in other.held(0)
    assert gone not in other.held(0)


@both
@pytest.mark.parametrize("kind", [True, "split16"])
def test_the_weights_of_split8_are_kept(api, kind):
    """As float32 masters and as ``"split16"``, which then go on as one."""
    one = trained(api, "split8")
    other, third = follow(one, kind), follow(one, True)
    assert_same(weights(one), weights(other))
    for each in (other, third):
        converted(each)
    if api is Arrays:
        assert_same(weights(one), weights(other))
    assert_same_run(other, third)


@both
@pytest.mark.parametrize("saved", [True, "split16"])
@pytest.mark.parametrize("ties", [False, True])
def test_split8_rounds_what_it_cannot_hold_to_the_nearest(api, saved, ties):
    one = trained(api, True)
    if ties:
        make_ties(one)
    if saved == "split16":
        one = follow(one, "split16")
        one.step([torch.zeros_like(p) for p in one.params])
    other, before = follow(one, "split8"), weights(one)
    states = converted(other)
    for param, held, wanted in zip(other.params, states, before):
        rest = held["param_remainder"]
        assert rest.dtype is torch.int8
        rounded = torch.tensor(wanted).bfloat16()
        assert torch.equal(param.detach(), rounded)
        half = np.exp2(np.floor(np.log2(np.abs(rounded.float().numpy())))) / 256
        exact = 127.0 * (wanted.astype(np.float64) - rounded.float().numpy()) / half
        assert np.abs(rest.numpy() - exact).max(initial=0.0) <= 0.5 + 1e-4


def test_codes_of_split8_are_found_again():
    """From split8 to float32 and back: the very parameters and rests, from a step's own."""
    one = trained(Arrays, "split8")
    p, rest = one.params[0].detach().clone(), one.held(0)["param_remainder"].clone()
    master = float32_masters(p, rest)
    inner = rest.abs() < 127  # an end is in the middle of two bfloat16
    assert torch.equal(remainders_of(p, master, "int8")[inner], rest[inner])
    turned = p.clone()
    round_to(turned, master, "int8")
    assert torch.equal(turned[inner], p[inner])
    again = float32_masters(turned, remainders_of(p, master, "int8"))
    assert torch.equal(again, master)


@both
@pytest.mark.parametrize("kind", KINDS)
def test_without_masters_they_are_made_from_the_parameters(api, kind):
    one = trained(api, False)
    other = follow(one, kind)
    before = weights(one)
    assert_same(before, weights(other))
    twin = follow(one, True)
    for each in (other, twin):
        each.step(drawn(9))
    if kind != "split8":
        assert_same(weights(other), weights(twin))
    else:
        for mine, theirs in zip(weights(other), weights(twin)):
            assert np.abs(mine - theirs).max(initial=0.0) <= 2.0**-15 * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_of_torch_optim(kind):
    params = [p.requires_grad_() for p in drawn(0)]
    theirs = torch.optim.Adam(params, lr=0.01)
    for i in range(3):
        for p, g in zip(params, drawn(1 + i)):
            p.grad = g
        theirs.step()
    made = []
    for own in (kind, True):
        one = DropIns([p.detach().clone() for p in params], master_weights=own)
        one.opt.load_state_dict(copy.deepcopy(theirs.state_dict()))
        one.step(drawn(9))
        made.append(weights(one))
    if kind != "split8":
        assert_same(*made)


def test_torch_optim_hands_rests_on_and_does_not_move_them():
    one = trained(DropIns, "split16")
    back = torch.optim.Adam([p.detach().clone().requires_grad_() for p in one.params], lr=0.01)
    back.load_state_dict(copy.deepcopy(one.opt.state_dict()))
    assert_same(weights(one), weights(follow(one, "split16", back.state_dict())))


@both
@pytest.mark.parametrize("kind", KINDS)
def test_without_masters_here_they_are_left_out_and_named(api, kind):
    saved = trained(api, kind).opt.state_dict()
    other = api(drawn(0), master_weights=False)
    name = "master" if kind is True else "param_remainder"
    with pytest.warns(RuntimeWarning, match=f"{name}' was saved but is not loaded: master_weights"):
        other.opt.load_state_dict(saved)
    other.step(drawn(9))
    assert not {"master", "param_remainder"} & {*other.held(0)}


@both
def test_the_rest_of_a_bfloat16_says_nothing_about_a_float16(api):
    saved = trained(api, "split16").opt.state_dict()
    other = api(drawn(0, torch.float16), master_weights="split16")
    with pytest.warns(RuntimeWarning, match="no parameter here needs what it was saved for"):
        other.opt.load_state_dict(saved)
    other.step(drawn(9, torch.float16))
    assert other.held(0)["master"].dtype is torch.float32


@both
@pytest.mark.parametrize("kinds", [(True, "split16"), ("split16", True), ("split16", "split8")])
def test_the_model_may_be_loaded_behind_the_optimizer(api, kinds):
    saved, wanted = kinds
    one = trained(api, saved)
    if saved is True:
        make_ties(one)
    whole = follow(one, wanted)
    other = api(drawn(77), master_weights=wanted)
    other.opt.load_state_dict(copy.deepcopy(one.opt.state_dict()))
    other.opt.state_dict()
    with torch.no_grad():
        for mine, theirs in zip(other.params, one.params):
            mine.copy_(theirs)
    assert_same_run(whole, other)


@both
def test_only_a_step_writes_the_parameters(api):
    """And autograd notices: a step that is skipped writes them, too."""
    one = trained(api, True)
    make_ties(one)
    other = follow(one, "split16")
    before = [p.detach().clone() for p in other.params]
    saved = other.opt.state_dict()
    assert all(map(torch.equal, other.params, before))
    assert "master" in saved["state"][0]
    assert_same_run(follow(one, "split16"), follow(other, "split16"))
    version = other.params[0]._version
    converted(other)
    assert other.params[0]._version > version
    assert not torch.equal(other.params[0], before[0])


@both
@pytest.mark.parametrize("bad", ["dtype", "shape", "float"])
def test_a_rest_of_another_kind_is_refused(api, bad):
    one = trained(api, "split16")
    saved = copy.deepcopy(one.opt.state_dict())
    rest = as_integers(saved["state"][0]["param_remainder"])
    wrong = {"dtype": rest.to(torch.uint8), "shape": rest[1:], "float": rest.float()}[bad]
    saved["state"][0]["param_remainder"] = wrong
    before = weights(one)
    error = ValueError if bad == "shape" else TypeError
    with pytest.raises(error, match=r"param_remainder.*expected (one of int16, int8|shape)"):
        one.opt.load_state_dict(saved)
    assert_same(weights(one), before)


@both
def test_a_rest_is_the_only_state_of_integers(api):
    one = trained(api, "split16")
    saved = copy.deepcopy(one.opt.state_dict())
    saved["state"][0]["exp_avg"] = saved["state"][0]["exp_avg"].to(torch.int16)
    with pytest.raises(TypeError, match=r"exp_avg.*expected one of float64, .*, got .*int16"):
        one.opt.load_state_dict(saved)


def test_a_rest_that_somebody_replaces_counts_and_is_checked():
    one, other = trained(DropIns, "split16"), trained(DropIns, "split16")
    for each, dtype in ((one, torch.int16), (other, torch.bfloat16)):
        each.held(0)["param_remainder"] = torch.zeros(300, dtype=dtype)
    assert_same_run(one, other)
    one.held(0)["param_remainder"] = torch.zeros(300)
    with pytest.raises(
        TypeError, match=r"expected one of int16, int8, bfloat16, got torch\.float32"
    ):
        one.step(drawn(9))


MILLION = 1 << 20
PIECES = 48 * (1 << 15) * 4
"""Bytes of the temporaries of one piece, generously."""


@pytest.mark.parametrize(
    ("saved", "wanted", "result"),
    [(True, "split16", 2), (True, "split8", 1), ("split8", "split16", 2), ("split16", True, 4)],
)
def test_masters_change_piece_by_piece(saved, wanted, result):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    param = np.ones(4 * MILLION, ml_dtypes.bfloat16)
    grad = np.full(4 * MILLION, 0.5, ml_dtypes.bfloat16)
    one = gpuopt.SGD([param], lr=0.1, master_weights=saved)
    one.step([grad])
    other = gpuopt.SGD([param], lr=0.1, master_weights=wanted)
    other.load_state_dict(one.state_dict())
    other.step([None])
    tracemalloc.start()
    try:
        other.step([grad])
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < result * 4 * MILLION + PIECES
