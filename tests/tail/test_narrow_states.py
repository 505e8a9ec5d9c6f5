"""States in 16 and 8 bits: rounded by chance, so that averages move, and are right on average."""

import ml_dtypes
import numpy as np
import pytest
from gpuopt.kernels import roundings

import gpuopt
from benchmarks.state_dtype import differences, means
from gpuopt.engine.compose import compose
from gpuopt.engine.update import stream_of
from gpuopt.rules.registry import RULES
from tests.helpers.bits import assert_same_bits
from tests.helpers.stepping import groups
from tests.tolerances import TOLERANCES, assert_close

NARROW = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.states])
@pytest.mark.parametrize(
    "state_dtype", ["bfloat16", "8bit", pytest.param("float16", marks=pytest.mark.nightly)]
)
def test_the_states_of_every_rule_follow_those_in_float32(rule, state_dtype):
    with gpuopt.use_backend("numpy"):
        found, expected = (means(rule, 0.999, dtype, 700) for dtype in (state_dtype, None))
    for name, off in differences(found, expected).items():
        assert off <= TOLERANCES["mean of a narrow state"].relative, name


@pytest.mark.parametrize(
    ("name", "narrow"), [("DAdaptAdam", ["exp_avg_sq"]), ("Prodigy", [])], ids=["dadapt", "prodigy"]
)
def test_states_scaled_by_a_small_estimate_are_not_in_float16(name, narrow):
    """They are some 1e-10 at first, and float16 ends at 6e-8."""
    found = {}
    for state_dtype in ("float16", "float32"):
        weights = np.ones(64, np.float32)
        opt = getattr(gpuopt, name)([weights], lr=1.0, state_dtype=state_dtype)
        for _ in range(20):
            opt.step([weights.copy()])
        found[state_dtype] = weights, opt.d
        if state_dtype == "float16":
            states = opt.state[0].items()
            assert [n for n, a in states if getattr(a, "dtype", None) == np.float16] == narrow
    assert found["float16"][1] > 1e-6
    if not narrow:
        assert_same_bits(found["float16"][0], found["float32"][0])
        assert found["float16"][1] == found["float32"][1]


def test_a_second_moment_decays():
    """Rounded to nearest it stays at 1.2: each step takes off less than half a unit."""

    def mean(state_dtype):
        rng = np.random.default_rng(1)
        opt = gpuopt.Adam([np.zeros(256, np.float32)], state_dtype=state_dtype)
        for size in (1.0, 0.1):
            for _ in range(3000):
                opt.step([np.float32(size) * rng.standard_normal(256, np.float32)])
        return opt.state[0]["exp_avg_sq"].astype(float).mean()

    assert_close(mean("bfloat16"), mean("float32"), "mean of a narrow state")


def test_float32_weights_averaged_in_bfloat16_are_rounded_by_chance():
    """As a checkpoint of torch's AveragedModel in bfloat16 brings them."""
    weights = np.zeros(1280, np.float32)
    opt = gpuopt.SGD([weights], lr=0.0, ema_decay=0.999)
    opt.step([np.zeros(1280, np.float32)])
    saved = opt.state_dict()
    saved["state"][0]["ema"] = np.ones(1280, ml_dtypes.bfloat16)
    opt.load_state_dict(saved)
    for _ in range(1000):
        opt.step([np.zeros(1280, np.float32)])
    assert opt.ema[0].dtype == ml_dtypes.bfloat16
    mean = opt.ema[0].astype(np.float64).mean()
    assert_close(mean, 0.999**1000, "mean of a narrow state")


@pytest.mark.parametrize("value", [1.0003, -0.7001, 3e-5, -7e-6, 5e-8, 1e-11, 65503.0, 0.0, 2.5])
def test_float16_by_chance_is_right_on_average(value):
    x = np.full(1 << 18, value, np.float32)
    numbers = map(np.float32, (1, 2, 3, 4))
    rounded = roundings.stochastic_float16(x, np.arange(x.size), *numbers)
    assert_same_bits(rounded, rounded.astype(np.float16).astype(np.float32))
    size = abs(float(x[0]))
    below = np.float16(size)
    below = float(below if float(below) <= size else np.nextafter(below, np.float16(0)))
    above = float((np.float16(below).view(np.uint16) + np.uint16(1)).view(np.float16))
    if size == below:
        assert_same_bits(rounded, x)
        return
    share = (size - below) / (above - below)
    assert set(np.abs(rounded).tolist()) <= {below, above}
    assert (np.signbit(rounded) == (value < 0)).all()
    up = (np.abs(rounded) == above).mean()
    assert abs(up - share) < 5 * np.sqrt(share * (1 - share) / x.size) + 2.0**-24


def test_what_16_bits_hold_stays_and_nothing_becomes_infinite_by_chance():
    patterns = np.arange(1 << 16, dtype=np.uint16)
    numbers = list(map(np.float32, (0, 7, 0, 1)))
    for name, dtype in NARROW.items():
        held = patterns.view(dtype).astype(np.float32)
        for rounding in (n for n in roundings.__dict__ if n.startswith(f"stochastic_{name}")):
            found = getattr(roundings, rounding)(held, np.arange(held.size), *numbers)
            assert_same_bits(found, held)
    near = np.full(1000, 65503.99, np.float32)
    assert (roundings.stochastic_float16(near, np.arange(1000), *numbers) <= 65504).all()
    beyond = np.array([65504, 65519.99, 1e9, -65519.99, np.inf, -np.inf, np.nan], np.float32)
    found = roundings.stochastic_float16(beyond, np.arange(7), *numbers)
    largest = np.array([65504, 65504, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
    assert_same_bits(found, largest)


@pytest.mark.parametrize("grad", [1e4, 7e5, 3e38])
@pytest.mark.parametrize("kind", ["Adam", "Momentum", "RMSProp"])
def test_one_large_gradient_neither_stops_a_float16_state_nor_makes_nan(kind, grad):
    weights = np.zeros(8, np.float32)
    options = {"betas": (0.9, 0.9)} if kind == "Adam" else {"beta": 0.9}
    opt = getattr(gpuopt, kind)([weights], lr=0.01, state_dtype="float16", **options)
    opt.step([np.full(8, grad, np.float32)])
    after = weights.copy()
    for _ in range(300):
        opt.step([np.ones(8, np.float32)])
    assert np.isfinite(weights).all()
    if grad < 1e19:  # the square of a float32 beyond is infinite, and the element rests
        assert (weights < after).all()


@pytest.mark.parametrize("state_dtype", NARROW)
def test_each_state_and_the_parameter_have_random_bits_of_their_own(state_dtype):
    """The same values, rounded in the same step, go up and down independently of each other."""
    (group,) = groups("amsgrad", {"lr": 0.0}, state_dtype=state_dtype)
    update = group.update.for_params("bfloat16").for_states(
        dict.fromkeys(RULES["amsgrad"].states, state_dtype)
    )
    rounds = [stage for stage in update.after if stage.name.startswith("round_")]
    assert len(rounds) == 3
    x, element = np.full(4000, 1.0001, np.float32), np.arange(4000)
    numbers = [np.float32(n) for n in (1, 2, 3, 4)]
    with_param = [
        stage.function(x, element + stream_of(stage.values[1]) * roundings.STREAM, *numbers)
        for stage in rounds
    ]
    with_param.append(roundings.stochastic_bfloat16(x, element, *numbers))
    ups = [found > x for found in with_param]
    for i, one in enumerate(ups):
        for other in ups[:i]:
            expected = one.mean() * other.mean()
            assert abs((one & other).mean() - expected) < 5 * np.sqrt(expected / x.size)


def test_only_16_bits_are_rounded_by_chance():
    adam = compose(RULES["adam"])
    assert adam.for_states({"exp_avg": "float32", "exp_avg_sq": "float64"}) is adam
    one = adam.for_states({"exp_avg": "float32", "exp_avg_sq": "bfloat16"})
    assert [stage.name for stage in one.after] == ["round_exp_avg_sq"]
    assert one is adam.for_states({"exp_avg": "float32", "exp_avg_sq": "bfloat16"})


@pytest.mark.parametrize("state_dtype", NARROW)
def test_a_resumed_run_rounds_as_the_other(state_dtype):
    rng = np.random.default_rng(2)
    grads = rng.standard_normal((6, 999)).astype(np.float32)

    def made(params):
        return gpuopt.Adam(params, state_dtype=state_dtype, seed=9)

    whole, parts = [np.ones(999, np.float32)], [np.ones(999, np.float32)]
    first, second = made(whole), made(parts)
    for grad in grads:
        first.step([grad])
    for grad in grads[:3]:
        second.step([grad])
    third = gpuopt.Adam(parts)  # what is saved counts: the dtype and the seed
    third.load_state_dict(second.state_dict())
    for grad in grads[3:]:
        third.step([grad])
    assert_same_bits(parts[0], whole[0])
    for name, state in first.state[0].items():
        assert_same_bits(np.asarray(third.state[0][name]), np.asarray(state), name)


def test_states_that_a_maximum_or_a_quotient_would_bias_stay_wide():
    for rule, names in (
        ("amsgrad", ("exp_avg_sq",)),
        ("adadelta", ("square_avg",)),
        ("rmsprop_centered_momentum", ("square_avg", "grad_avg")),
    ):
        stored = compose(RULES[rule]).stored_states("float32", "bfloat16")
        assert {stored.pop(name) for name in names} == {"float32"}
        assert set(stored.values()) == {"bfloat16"}


@pytest.mark.parametrize("state_dtype", [*NARROW, "8bit"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_variance_is_no_difference_of_what_was_rounded(state_dtype, momentum):
    """Where it were, it would be 0 by chance, and a step 1e8 times too large."""
    opts = {"lr": 1.0, "beta": 0.99, "centered": True, "momentum": momentum}
    weights = np.zeros(320, np.float32)
    opt = gpuopt.RMSProp([weights], state_dtype=state_dtype, min_8bit_size=1, **opts)
    rng = np.random.default_rng(4)
    for step in range(400):
        before = weights.copy()
        opt.step([np.float32(10.0) + rng.standard_normal(320, np.float32)])
        if step >= 200:  # the mean is known, and the steps are (10 +- 4)/1
            assert np.abs(weights - before).max() < 20 / (1 - momentum)


@pytest.mark.parametrize("state_dtype", NARROW)
def test_the_bits_do_not_depend_on_threads(state_dtype, monkeypatch):
    found = []
    for backend, threads in (("numpy", 1), ("llvm", 1), ("llvm", 2), ("llvm", 7)):
        monkeypatch.setenv("GPUOPT_NUM_THREADS", str(threads))
        rng = np.random.default_rng(3)
        params = [rng.standard_normal(n).astype(np.float32) for n in (70_001, 5)]
        with gpuopt.use_backend(backend):
            opt = gpuopt.Adam(params, lr=0.1, state_dtype=state_dtype)
            for _ in range(3):
                opt.step([rng.standard_normal(p.size).astype(np.float32) for p in params])
            states = [s for held in opt.state.values() for s in held.values()]
        found.append([np.asarray(array).tobytes() for array in (*params, *states)])
    assert all(one == found[0] for one in found)
