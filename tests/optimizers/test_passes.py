"""What optimizers do outside of steps: train, eval, and SophiaG's update of its Hessian."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.compose import pass_of
from gpuopt.engine.tail import Tail
from tests.helpers.optimizers import Pair, arrays, everything, frozen, gradients, make
from tests.rules.oracles import training

MODES = [name for name in gpuopt.optimizers.classes.DEFINITIONS if training(name)]
F = np.float32


def bits(flat):
    return [frozen(array) for array in flat]


def trained(name="AdamWScheduleFree", steps=2, **options):
    params = arrays(0)
    optimizer = make(name, params, **options)
    for step in range(steps):
        optimizer.step(gradients(step))
    return params, optimizer


# --- train and eval -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODES)
def test_a_step_needs_train_mode(backend, name):
    params = arrays(0)
    optimizer = getattr(gpuopt, name)(params)
    for call in (lambda: None, optimizer.train, optimizer.eval):
        call()
        if optimizer.train_mode:
            optimizer.step(gradients(0))
            continue
        before = everything(optimizer, params)
        with pytest.raises(RuntimeError, match=rf"step: {name} is not in train mode: call its tr"):
            optimizer.step(gradients(0))
        assert everything(optimizer, params) == before


@pytest.mark.parametrize("name", MODES)
def test_eval_shows_the_average_and_train_goes_back(backend, name):
    """Exactly: all numbers are small multiples of powers of two."""
    param = np.ones(3, F)
    beta = {"momentum": 0.5} if name == "SGDScheduleFree" else {"betas": (0.5, 0.75)}
    optimizer = getattr(gpuopt, name)([param], **beta)
    optimizer.train()
    optimizer.step([np.ones(3, F)])
    y, z = F([1, 2, 3]), F([3, -2, 1])
    param[...], optimizer.state[0]["z"][...] = y, z
    optimizer.eval()
    assert param.tolist() == (y - (z - y)).tolist()
    optimizer.eval()
    assert param.tolist() == (y - (z - y)).tolist()
    assert not optimizer.train_mode
    optimizer.train()
    assert param.tolist() == y.tolist()
    optimizer.train()
    assert param.tolist() == y.tolist()
    assert optimizer.state[0]["z"].tolist() == z.tolist()


def test_each_group_has_its_own_beta_and_is_changed_if_it_is_not_so_yet(numpy_backend):
    params = [np.ones(2, F) for _ in range(3)]
    groups = [
        {"params": params[:1], "momentum": 0.5},
        {"params": params[1:2], "momentum": 0.25, "train_mode": False},
        {"params": params[2:], "momentum": 0.25},
    ]
    optimizer = gpuopt.SGDScheduleFree(groups, lr=1.0, train_mode=True)
    with pytest.raises(RuntimeError, match="not in train mode"):
        optimizer.step([[np.ones(2, F)]] * 3)
    optimizer.train()
    optimizer.step([[np.ones(2, F)]] * 3)
    for param, state in zip(params, optimizer.state.values()):
        param[...], state["z"][...] = 1.0, 2.0
    optimizer.param_groups[2].take("train_mode", False)
    optimizer.eval()
    assert [param.tolist() for param in params] == [[0.0, 0.0], [-2.0, -2.0], [1.0, 1.0]]


def test_arrays_without_a_gradient_stay_as_they_are(backend):
    params = arrays(0)
    optimizer = make("AdamWScheduleFree", params)
    for step in range(2):
        optimizer.step([None, *gradients(step)[1:]])
    before = bits(params)
    optimizer.eval()
    assert bits(params)[0] == before[0]
    assert bits(params)[2] != before[2]


def test_steps_go_on_after_the_modes_have_changed(backend):
    """The launches of the steps are as they were: nothing is counted twice, nothing lost."""
    params, optimizer = trained()
    states = everything(optimizer, params)[1]
    optimizer.eval()
    optimizer.train()
    assert everything(optimizer, params)[1] == states
    optimizer.step(gradients(5))
    assert [held["step"] for held in optimizer.state.values()] == [3] * len(params)


def test_masters_go_through_the_modes_too(numpy_backend):
    """Without rounding to 16 bits on the way: a bfloat16 holds 1 of y, which is 1 + 2**-12."""
    param = np.ones(64, F).astype(pytest.importorskip("ml_dtypes").bfloat16)
    optimizer = gpuopt.SGDScheduleFree([param], lr=2.0**-12, momentum=0.5, master_weights=True)
    optimizer.train()
    optimizer.step([-np.ones(64, F)])
    state = optimizer.state[0]
    assert set(state["master"].tolist()) == {1 + 2.0**-12}
    state["z"][...] = 2.0
    optimizer.eval()
    assert set(state["master"].tolist()) == {2.0**-11}
    assert set(param.astype(F).tolist()) == {2.0**-11}
    optimizer.train()
    assert set(state["master"].tolist()) == {1 + 2.0**-12}


def test_the_mode_is_saved_and_loaded(numpy_backend):
    params, optimizer = trained()
    optimizer.eval()
    other_params = [param.copy() for param in params]
    other = gpuopt.AdamWScheduleFree(other_params, train_mode=True)
    other.load_state_dict(optimizer.state_dict())
    assert other.train_mode is False
    for one in (optimizer, other):
        one.train()
        one.step(gradients(7))
    assert bits(other_params) == bits(params)


def test_the_mode_cannot_be_assigned(numpy_backend):
    _, optimizer = trained()
    said = r"train_mode: it cannot be assigned; train\(\) and eval\(\) change it"
    for assign in (
        lambda: setattr(optimizer, "train_mode", False),
        lambda: optimizer.param_groups[0].update(train_mode=False),
        lambda: optimizer.param_groups[0].__setitem__("train_mode", False),
    ):
        with pytest.raises(TypeError, match=said):
            assign()
    assert optimizer.train_mode is True


def test_no_mode_changes_inside_ema_weights(numpy_backend):
    _, optimizer = trained(ema_decay=0.5)
    with optimizer.ema_weights(), pytest.raises(gpuopt.errors.NotAvailableError, match="eval: not"):
        optimizer.eval()
    assert optimizer.train_mode is True


def test_only_optimizers_whose_rules_have_passes_have_methods_for_them():
    params = arrays(0)
    assert not any(hasattr(gpuopt.Adam(params), n) for n in ("train", "eval", "update_hessian"))
    assert not hasattr(gpuopt.SophiaG(params), "train")
    assert hasattr(gpuopt.Optimizer(params, rule="sgd_schedule_free"), "eval")


def test_z_is_never_narrow_and_starts_as_the_parameter(numpy_backend):
    param = np.float64([1.5, -2.0])
    optimizer = make("AdamWScheduleFree", [param], state_dtype="bfloat16", lr=0.0)
    optimizer.step([np.ones(2)])
    assert optimizer.state[0]["z"].tolist() == [1.5, -2.0]
    assert optimizer.state[0]["z"].dtype == np.float64
    assert optimizer.state[0]["exp_avg_sq"].dtype.name == "bfloat16"


# --- SophiaG ------------------------------------------------------------------------------------


def sophia(p, m, h, g, o):
    """A step as the paper prints it."""
    m[...] = o["beta1"] * m + (1 - o["beta1"]) * g
    p *= 1 - o["lr"] * o["decay"]
    ratio = np.minimum(np.abs(m) / (o["rho"] * o["bs"] * h + 1e-15), 1)
    p -= o["lr"] * np.sign(m) * ratio


@pytest.mark.parametrize("rho", [0.04, 0.5])
@pytest.mark.parametrize("bs", [8.0, 5120.0])
def test_sophia_is_the_formula(backend, rho, bs):
    o = {"lr": 0.03, "beta1": 0.8, "beta2": 0.75, "rho": rho, "bs": bs, "decay": 0.1}
    param = np.random.default_rng(0).standard_normal(50)
    p, m, h = param.copy(), np.zeros(50), np.zeros(50)
    betas = o["beta1"], o["beta2"]
    optimizer = gpuopt.SophiaG([param], lr=0.03, betas=betas, rho=rho, weight_decay=0.1, bs=bs)
    for step in range(50):
        g, ghat = np.random.default_rng(step + 1).standard_normal((2, 50)) * 0.1
        if step % 10 == 3:
            optimizer.update_hessian([ghat * 4], scale=4.0)
            h = o["beta2"] * h + (1 - o["beta2"]) * ghat**2
        optimizer.step([g])
        sophia(p, m, h, g, o)
    np.testing.assert_allclose(param, p, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(optimizer.state[0]["hessian"], h, rtol=1e-12)


def test_the_hessian_is_updated_where_there_is_a_gradient_and_nothing_else_is(backend):
    params, optimizer = trained("SophiaG")
    before = everything(optimizer, params)
    optimizer.update_hessian([None, *gradients(3)[1:]])
    after = everything(optimizer, params)
    assert after[0] == before[0]
    assert after[1][0] == before[1][0]
    for key in range(1, len(params)):
        differ = {n for n in after[1][key] if after[1][key][n] != before[1][key][n]}
        assert differ == ({"hessian"} if params[key].size else set())


def test_the_hessian_may_come_before_the_first_step(numpy_backend):
    params = arrays(0)
    optimizer = gpuopt.SophiaG(params, betas=(0.5, 0.5))
    optimizer.update_hessian(gradients(0))
    saved = optimizer.state_dict()
    twin = gpuopt.SophiaG(arrays(0))
    twin.load_state_dict(saved)
    for held, g in zip(twin.state.values(), gradients(0)):
        assert held["step"] == 0
        assert held["hessian"].tolist() == (F(0.5) * (g * g)).tolist()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_skip_nonfinite_leaves_the_hessian_alone(backend, bad):
    for skips in (True, False):
        params, optimizer = trained("SophiaG", skip_nonfinite=skips)
        before = everything(optimizer, params)
        grads = gradients(3)
        grads[2][0] = bad
        optimizer.update_hessian(grads)
        assert (everything(optimizer, params) == before) == skips


def test_bad_gradients_of_the_hessian_change_nothing():
    pair = Pair(optimizer="SophiaG")
    grads = pair.good()
    with pair.refuses(ValueError, "gradient of params[0]: expected shape"):
        pair.optimizer.update_hessian([grads[1], *grads[1:]])
    with pair.refuses(ValueError, "overlaps"):
        pair.optimizer.update_hessian([pair.params[0], *grads[1:]])
    with pair.refuses(ValueError, "scale: expected"):
        pair.optimizer.update_hessian(grads, scale=0.0)


def test_the_hessian_stays_in_float32():
    _, optimizer = trained("SophiaG", state_dtype="8bit", min_8bit_size=1)
    optimizer.update_hessian(gradients(3))
    assert optimizer.state[2]["hessian"].dtype == F
    assert optimizer.state[2]["exp_avg"].dtype == np.int8


# --- what they move -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "name", "floor"),
    [
        ("sgd_schedule_free", "train", 12),
        ("adamw_schedule_free", "eval", 12),
        ("sophiag", "update_hessian", 12),
    ],
)
def test_a_pass_reads_and_writes_what_it_needs_alone(rule, name, floor):
    rule = gpuopt.RULES[rule]
    update = pass_of(rule, name, Tail(ema_decay=0.5, clip_value=1.0, zero_grads=True))
    assert update.bytes_per_element(["float32"] * len(update.lists)) == floor
    assert update.carried_names == ()


@pytest.mark.parametrize(
    ("rule", "floor"),
    [
        ("sgd_schedule_free", 20),
        ("adamw_schedule_free", 28),
        ("radam_schedule_free", 28),
        ("sophiag", 24),
    ],
)
def test_the_floor_of_bytes_of_a_step(rule, floor):
    assert gpuopt.RULES[rule].bytes_per_element() == floor
