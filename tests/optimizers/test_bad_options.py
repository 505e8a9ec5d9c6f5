"""Hyperparameters that make no sense are refused by name, wherever they are given."""

import math
from itertools import product

import numpy as np
import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.optimizers import (
    FLAGS,
    NUMBERS,
    OPTIMIZERS,
    Pair,
    arrays,
    make,
    options_of,
)

EACH_NUMBER = [(n, o) for n in OPTIMIZERS for o in options_of(n) if o in NUMBERS]
EACH_FLAG = [(n, o) for n in OPTIMIZERS for o in options_of(n) if o in FLAGS]
EACH_BETAS = [n for n in OPTIMIZERS if "betas" in options_of(n)]
NAMES_OF_COUNTS = {2: "two", 3: "three"}
ASSIGNED_BY_METHODS = ("train_mode",)

NO_NUMBERS = [
    "0.5",
    b"0.5",
    bytearray(b"1"),
    None,
    True,
    False,
    np.True_,
    0.5j,
    np.complex64(0.5),
    [0.5],
    (0.5, 0.5),
    {"lr": 0.5},
    np.array([0.5]),
    np.array([0.5, 0.5]),
    np.array("0.5"),
    np.array(0.5, object),
    np.timedelta64(1, "s"),
    np.array(True),
    object(),
]
OUT_OF_RANGE = [-1.0, -1e-300, math.nan, math.inf, -math.inf, np.float32("nan"), 10**400, -1]
NOT_BELOW_ONE = [1.0, 1, 1.5, np.float32(1)]


def range_of(name, option):
    (accepts,) = DEFINITIONS[name].by_name[option].ranges
    return accepts


def everywhere(name, option, value):
    """Each way of giving an option: a function of a pair that is to be refused."""
    return [
        lambda pair: make(name, arrays(0), **{option: value}),
        lambda pair: make(name, [{"params": arrays(0)}, {"params": arrays(1), option: value}]),
        lambda pair: setattr(pair.optimizer, option, value),
        lambda pair: pair.optimizer.param_groups[2].update({option: value}),
        lambda pair: pair.optimizer.param_groups[2].__setitem__(option, value),
        lambda pair: pair.optimizer.param_groups[2].update({"lr": 0.125, option: value}),
    ]


def refused_everywhere(name, option, values, error, *words, ways=slice(None)):
    pair = Pair("groups", optimizer=name)
    for value in values:
        for give in everywhere(name, option, value)[ways]:
            with pair.refuses_for_now(error, option, *words, "got "):
                give(pair)
    pair.goes_on()


@pytest.mark.parametrize(("name", "option"), EACH_NUMBER)
def test_what_is_no_number(numpy_backend, name, option):
    optional = option in DEFINITIONS[name].optional
    refused_everywhere(
        name,
        option,
        [value for value in NO_NUMBERS if not (optional and value is None)],
        TypeError,
        f"{option}: expected {range_of(name, option).description}",
    )


@pytest.mark.parametrize(("name", "option"), EACH_NUMBER)
def test_numbers_out_of_range(numpy_backend, name, option):
    accepts = range_of(name, option)
    values = [x for x in OUT_OF_RANGE + NOT_BELOW_ONE if not accepts.accepts(as_float(x))]
    assert values
    said = f"{option}: expected {accepts.description}"
    refused_everywhere(name, option, values, ValueError, said)


def as_float(number):
    """As `float`, but an integer beyond the largest float is infinite."""
    return math.inf if isinstance(number, int) and number > 1e308 else float(number)


@pytest.mark.parametrize(("name", "option"), EACH_FLAG)
def test_what_is_no_boolean(numpy_backend, name, option):
    values = [0, 1, 0.0, "True", None, [], np.array(True), math.nan]
    ways = slice(2) if option in ASSIGNED_BY_METHODS else slice(None)
    said = f"{option}: expected True or False"
    refused_everywhere(name, option, values, TypeError, said, ways=ways)


@pytest.mark.parametrize("name", EACH_BETAS)
def test_betas(numpy_backend, name):
    ranges = DEFINITIONS[name].by_name["betas"].ranges
    count, words = len(ranges), [accepts.description for accepts in ranges]
    values = [0.9, (), (0.9,), (0.9,) * (count + 1), None, "", "abcd", object(), np.zeros(4)]
    alike = f"{NAMES_OF_COUNTS[count]} numbers in [0, 1)"
    said = alike if len(set(words)) == 1 else " and ".join(words)
    refused_everywhere(name, "betas", values, TypeError, f"betas: expected {said}")
    for place in range(count):
        for wrong, error in (
            *((value, TypeError) for value in NO_NUMBERS),
            *((value, ValueError) for value in OUT_OF_RANGE + NOT_BELOW_ONE),
        ):
            several = [0.5] * count
            several[place] = wrong
            said = f"betas[{place}]: expected {words[place]}"
            refused_everywhere(name, "betas", [tuple(several)], error, said, ways=slice(2, 4))


def test_the_message_says_what_was_given():
    for value, said in ((-1.0, "got -1.0"), ("fast", "got 'fast'"), (True, "got True")):
        with pytest.raises((TypeError, ValueError), match=said):
            gpuopt.SGD(arrays(0), lr=value)


def test_a_bad_learning_rate_for_the_second_of_two_groups(backend):
    pair = Pair("groups")
    for value in (-0.5, math.nan, "0.5"):
        with pair.refuses(TypeError if value == "0.5" else ValueError, "lr", repr(value)):
            pair.optimizer.param_groups[2]["lr"] = value


def test_nothing_of_an_update_is_kept_when_one_value_is_bad(backend):
    pair = Pair("groups")
    with pair.refuses(ValueError, "eps"):
        pair.optimizer.param_groups[1].update(lr=0.5, eps=-1.0)
    with pair.refuses(TypeError, "rate"):
        pair.optimizer.param_groups[1].update(lr=0.5, rate=1.0)
    with pair.refuses(ValueError, "betas[1]"):
        pair.optimizer.betas = (0.5, 1.0)


@pytest.mark.parametrize(("name", "option"), EACH_NUMBER)
def test_the_ends_of_the_range_are_accepted(numpy_backend, name, option):
    """Zero everywhere, and all that is below one: no division by zero in the coefficients."""
    accepts = range_of(name, option).accepts
    for value in (0, 0.0, 5e-324, 1.0, math.nextafter(1.0, 0.0), 1e30):
        if not accepts(value):
            continue
        params = [np.ones(3, np.float32)]
        optimizer = make(name, params, **{option: value})
        for _ in range(2):
            optimizer.step([np.ones(3, np.float32)])
        assert optimizer.param_groups[0][option] == value
        assert not np.isnan(params[0]).any()


@pytest.mark.parametrize("name", EACH_BETAS)
def test_the_ends_of_the_range_of_betas_are_accepted(numpy_backend, name):
    last, ranges = math.nextafter(1.0, 0.0), DEFINITIONS[name].by_name["betas"].ranges
    mixed = [*product((0, last), repeat=len(ranges)), [0.5] * len(ranges)]
    for betas in mixed:
        if not all(accepts.accepts(beta) for accepts, beta in zip(ranges, betas)):
            continue
        params = [np.ones(3, np.float32)]
        optimizer = make(name, params, betas=betas)
        for _ in range(2):
            optimizer.step([np.ones(3, np.float32)])
        assert optimizer.betas == tuple(betas)
        assert not np.isnan(params[0]).any()


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16, np.array, int, float])
def test_numbers_of_every_kind_are_accepted(number):
    optimizer = gpuopt.Adam(arrays(0), lr=number(2))
    assert optimizer.lr == 2.0
    assert type(optimizer.lr) is float


def test_numbers_of_torch():
    torch = pytest.importorskip("torch")
    optimizer = gpuopt.Adam(arrays(0), eps=torch.tensor(0.5), betas=torch.tensor([0.5, 0.75]))
    assert (optimizer.eps, optimizer.betas) == (0.5, (0.5, 0.75))
    for value in (torch.tensor([0.5, 0.5]), torch.tensor(True), torch.tensor(1j)):
        for option in ("eps", "lr", "weight_decay"):
            with pytest.raises(TypeError, match=f"{option}: expected a "):
                gpuopt.Adam(arrays(0), **{option: value})


@pytest.mark.parametrize(
    "dtype", ["int8", "float", "f4", "", "FLOAT32", 4, True, float, np.float32, np.dtype("float32")]
)
def test_state_dtypes_that_are_none(dtype):
    for name in set(OPTIMIZERS) - {"SGD"}:
        with pytest.raises(ValueError, match="state_dtype: expected None or one of float64, "):
            make(name, arrays(0), state_dtype=dtype)


@pytest.mark.parametrize("dtype", [np.dtype("float16"), "torch.float16"])
def test_a_state_dtype_that_is_no_string_is_told_so(dtype):
    with pytest.raises(ValueError, match=r"; write 'float16', a string$"):
        make("Adam", arrays(0), state_dtype=dtype)


@pytest.mark.parametrize(
    ("scale", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (10**400, ValueError),
        ("2", TypeError),
        (True, TypeError),
        (None, TypeError),
        (1j, TypeError),
        (np.ones(2), TypeError),
        (5e-324, ValueError),  # one divided by it is infinite
    ],
)
def test_scales_that_are_none(backend, scale, error):
    pair = Pair()
    with pair.refuses(
        error, "scale: expected a finite number above 0 whose reciprocal is finite, got "
    ):
        pair.optimizer.step(pair.good(), scale=scale)


@pytest.mark.parametrize("own", [{"lr": -1.0}, {"rate": 1.0}])
def test_an_option_of_a_group_is_named_with_its_group(own):
    first, second, *_ = arrays(0)
    groups = [{"params": [first]}, {"params": [second], **own}]
    with pytest.raises((TypeError, ValueError), match=r"^params\[1\]: .*(lr|rate)"):
        gpuopt.SGD(groups, lr=0.1)
    with pytest.raises(ValueError, match=r"^lr: expected"):
        gpuopt.SGD(groups[:1], lr=-0.1)


def test_what_must_not_be_replaced_says_so():
    pair = Pair(steps=1)
    state = pair.optimizer.state
    with pytest.raises(AttributeError, match="param_groups"):
        pair.optimizer.param_groups = []
    with pytest.raises(TypeError, match="item assignment"):
        state[0]["step"] = 0
    with pytest.raises(TypeError, match="item assignment"):
        state[0] = {}
