"""The registry: what it holds is covered, what it must not hold is refused."""

import inspect
import math
import re
from itertools import product

import numpy
import numpy as np
import pytest

import gpuopt
from gpuopt import RULES, RuleError, Tail, register, rules
from gpuopt.rules import power, real_power
from gpuopt.rules import power as raised
from gpuopt.rules import real_power as rooted
from gpuopt.rules.definitions import DEFINITIONS
from gpuopt.rules.registry import OPTIMIZER_NAMES, RESERVED, Stage, check
from tests.helpers.backends import on_cpu
from tests.helpers.bits import assert_same_bits
from tests.rules.oracles import (
    DECOUPLED,
    FORMULAS,
    NOT_IN_TORCH,
    TORCH,
    VALUES,
    by_rule,
    grid,
    reached,
    rules_of,
)

# --- coverage: nothing stands in the registry that no oracle has seen ---------------------------


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_formula_in_the_tests(name):
    assert name in FORMULAS, f"write the formula of {name} into tests/rules/oracles.py"


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_chosen_by_an_optimizer_and_its_grid(name):
    assert name in {rule for optimizer in DEFINITIONS for rule in reached(optimizer)}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_optimizer_is_compared_with_torch(name):
    assert (name in TORCH) != (name in NOT_IN_TORCH), f"put {name} into tests/rules/oracles.py"


@pytest.mark.parametrize("name", RULES)
def test_decay_is_decoupled_in_the_rules_that_the_oracle_says(name):
    assert RULES[name].decoupled == (name in DECOUPLED)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_of_ours_can_be_compiled(name):
    """Importing gpuopt does not check them."""
    check(RULES[name])


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_option_has_values_in_the_grid(name):
    defaults = DEFINITIONS[name].defaults
    assert set(defaults) <= set(VALUES), f"give {set(defaults) - set(VALUES)} values in oracles.py"
    for option in defaults:
        assert len({options[option] for options in grid(name)}) > 1


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_combination_of_choices_has_a_rule(name):
    definition = DEFINITIONS[name]
    choices = product((False, True), repeat=len(definition.choices))
    assert set(definition.rules) == set(choices)
    assert rules_of(name) <= set(RULES)
    assert rules_of(name) == reached(name)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_hyperparameter_is_an_option_of_the_optimizer(name):
    """What a rule's coefficients ask for must be among the numbers that its groups have."""
    definition = DEFINITIONS[name]
    held = {part for parts in definition.parts.values() for part in parts}
    for rule in definition.all_rules:
        assert {*rule.hyperparameters, *rule.initial.values()} <= held


@pytest.mark.parametrize(
    ("name", "bytes_per_element"),
    [
        *(("gradient_descent", 12), ("momentum", 20), ("rmsprop", 20), ("adam", 28)),
        *(("amsgrad", 36), ("ademamix", 36), ("adan", 44), ("adopt", 28), ("laprop", 28)),
    ],
)
def test_the_floor_of_bytes_per_element(name, bytes_per_element):
    assert RULES[name].bytes_per_element() == bytes_per_element


def test_the_floor_of_bytes_counts_each_dtype():
    assert RULES["adam"].bytes_per_element(param=2, grad=2, state=4) == 2 * 2 + 2 + 2 * 2 * 4


def test_the_names_of_the_stages_are_reserved():
    held = [*vars(rules.stages).values(), *vars(rules.tail).values()]
    held += vars(rules.rounding).values()
    held += [*rules.tail.COMPENSATE.values(), *rules.tail.ROUND.values()]
    held += [*rules.split.JOIN.values(), *rules.split.SPLIT.values()]
    adamw = RULES["adamw"]
    held.append(rules.stages.scheduled_decay_of(adamw, rules.stages.decay_of(adamw)))
    stages = [value for value in held if isinstance(value, Stage)]
    taken = {name for s in stages for name in s.coefficient_names}
    taken |= {n for s in stages if s.coefficients for n in signature_of(s.coefficients)}
    taken |= {s.state.name for s in stages if s.state}
    taken |= {name for s in stages for name in (*s.carried, *s.values, *s.results)}
    assert len(stages) == 23
    taken = {"element" if stage_streams(name) else name for name in taken}
    assert taken - {"lr", "step", "p", "g"} == RESERVED - {"seed"}


def stage_streams(name):
    """Whether it is the index of an element, in any stream of random words."""
    return name.rstrip("0123456789") == "element"


def signature_of(function):
    return inspect.signature(function).parameters


# --- refusals -----------------------------------------------------------------------------------

HALF = 0.5
TWO = np.float32(2)
ONES = np.ones(3)


def only_lr(step, lr):
    return (lr,)


def exp_of(g):
    return np.exp(g)


def math_exp_of(g):
    return math.exp(g)


def half_of(g):
    return HALF * g


def with_a_function_inside(p, g, lr):
    def tenth(x):
        return 0.1 * x

    return p - lr * tenth(g)


REFUSED = [
    ("np.exp", lambda p, g, lr: p - lr * np.exp(g)),
    ("np.log", lambda p, g, lr: p - lr * np.log(g)),
    ("np.power", lambda p, g, lr: p - lr * np.power(g, 2.0)),
    ("np.tanh", lambda p, g, lr: p - lr * np.tanh(g)),
    ("np.sign", lambda p, g, lr: p - lr * np.sign(g)),
    ("np.sum", lambda p, g, lr: p - lr * np.sum(g)),
    ("np.linalg", lambda p, g, lr: p - lr * np.linalg.norm(g)),
    ("np.float64", lambda p, g, lr: p - lr * np.float64(g)),
    ("np.pi", lambda p, g, lr: p - lr * np.pi),
    ("np.abs with", lambda p, g, lr: p - lr * np.abs(g, out=g)),
    ("np.sqrt with 2 arguments", lambda p, g, lr: p - lr * np.sqrt(g, g)),
    ("math.exp", lambda p, g, lr: p - lr * math.exp(g)),
    ("math.pi", lambda p, g, lr: p - lr * math.pi),
    ("numpy.sqrt", lambda p, g, lr: p - lr * numpy.sqrt(g)),
    ("the operator ** (write x * x, or make", lambda p, g, lr: p - lr * g**2),
    ("the operator ** (write x * x, or make", lambda p, g, lr: p - lr * 2.0**g),
    ("the operator /", lambda p, g, lr: p - g / lr),
    ("the operator /", lambda p, g, lr: p - lr * (1.0 / g)),
    ("the operator //", lambda p, g, lr: p - g // lr),
    ("the operator %", lambda p, g, lr: p - g % lr),
    ("the operator @", lambda p, g, lr: p - g @ lr),
    ("the operator &", lambda p, g, lr: p - lr * np.where((g > lr) & (p > lr), g, p)),
    ("the operator |", lambda p, g, lr: p - lr * np.where((g > lr) | (p > lr), g, p)),
    ("the operator ~", lambda p, g, lr: p - lr * np.where(~(g > lr), g, p)),
    ("the operator <<", lambda p, g, lr: p << g),
    ("the operator +x", lambda p, g, lr: p - lr * +g),
    ("the builtin abs", lambda p, g, lr: p - lr * abs(g)),
    ("the builtin round", lambda p, g, lr: p - lr * round(g)),
    ("the builtin divmod", lambda p, g, lr: p - lr * divmod(g, p)[0]),
    ("a value as a Python number", lambda p, g, lr: p - lr * float(g)),
    ("a value as a sequence", lambda p, g, lr: p - lr * g[0]),
    ("the attribute .sum", lambda p, g, lr: p - lr * g.sum()),
    ("a value as a condition", lambda p, g, lr: p - lr * g if g > 0.0 else p),
    ("a value as a condition", lambda p, g, lr: p - lr * max(g, 0.0)),
    ("a value as a condition", lambda p, g, lr: np.where(0.0 < g < 1.0, p, p - lr * g)),
    ("a comparison as an operand of *", lambda p, g, lr: p - lr * (g > 0.0)),
    ("a comparison as an operand of -x", lambda p, g, lr: p - lr * -(g > 0.0)),
    ("a comparison as an operand of where", lambda p, g, lr: np.where(g > 0.0, p, g > 0.0)),
    ("a comparison as a result", lambda p, g, lr: g > 0.0),
    ("np.where with a condition that is not a comparison", lambda p, g, lr: np.where(g, p, lr)),
    ("np.where with a condition that is not a comparison", lambda p, g, lr: np.where(True, p, g)),
    ("the constant 2 as an operand of *", lambda p, g, lr: p - lr * (2 * g)),
    ("the constant 1 as an operand of -", lambda p, g, lr: (1 - lr) * p - g),
    ("the constant True as an operand of *", lambda p, g, lr: p - lr * (g * True)),
    ("the constant 0.1 as an operand of *", lambda p, g, lr: p - lr * (0.1 * g)),
    ("the constant 1e+39 as an operand of minimum", lambda p, g, lr: np.minimum(p - lr * g, 1e39)),
    ("the number HALF by name", lambda p, g, lr: p - lr * (HALF * g)),
    ("the number TWO by name", lambda p, g, lr: p - lr * (TWO * g)),
    ("the number HALF by name", lambda p, g, lr: p - lr * half_of(g)),
    ("the constant array", lambda p, g, lr: p - lr * (ONES * g)),
    ("np.sqrt on constants alone", lambda p, g, lr: p - lr * np.sqrt(2.0)),
    ("np.divide on constants alone", lambda p, g, lr: p - lr * np.divide(1.0, 3.0)),
    ("np.exp", lambda p, g, lr: p - lr * exp_of(g)),
    ("math.exp", lambda p, g, lr: p - lr * math_exp_of(g)),
    ("a function defined inside it, tenth", with_a_function_inside),
    ("a result 0.0", lambda p, g, lr: 0.0),
    ("a result None", lambda p, g, lr: None),
    ("a result [", lambda p, g, lr: [p]),
]
"""What the message must name, and an update that uses it."""


@pytest.mark.parametrize(("used", "update"), REFUSED, ids=[used for used, _ in REFUSED])
def test_an_operation_that_is_not_exact_is_refused_by_name(used, update):
    with pytest.raises(RuleError) as caught:
        register("refused", update, only_lr, hyperparameters={"lr": 0.1})
    assert str(caught.value).startswith(f"{update.__name__} uses {used}")
    assert "refused" not in RULES


@pytest.mark.parametrize(
    ("instead", "update"),
    [
        ("write 1.0)", lambda p, g, lr: (1 - lr) * p - g),
        ("make it a coefficient)", lambda p, g, lr: p - lr * (0.1 * g)),
        ("make it a coefficient)", lambda p, g, lr: p - lr * (16777217 * g)),
        ("make it a coefficient)", lambda p, g, lr: p - lr * (g * True)),
    ],
    ids=["1", "0.1", "2**24 + 1", "True"],
)
def test_a_constant_that_is_refused_says_what_to_write(instead, update):
    with pytest.raises(RuleError, match=re.escape(instead)):
        register("refused", update, only_lr, hyperparameters={"lr": 0.1})


def test_variables_of_an_enclosing_function_are_refused():
    factor = 0.5
    with pytest.raises(RuleError, match=r"variables of an enclosing function \('factor',\)"):
        register("refused", lambda p, g: p - factor * g, lambda step: ())


def own_power(base, exponent):
    return base


def double_of(lr):
    return lr * TWO


REFUSED_COEFFICIENTS = [
    ("the operator ** (write power(base, step))", lambda step, lr: (lr**step,)),
    ("the operator /", lambda step, lr: (lr / step,)),
    ("np.exp", lambda step, lr: (np.exp(lr),)),
    ("np.power", lambda step, lr: (np.power(lr, step),)),
    ("np.log", lambda step, lr: (lr * log_of(lr),)),
    ("math.sqrt", lambda step, lr: (math.sqrt(lr),)),
    ("rules.power", lambda step, lr: (rules.power(lr, step),)),
    ("gpuopt.rules.power by another name, raised", lambda step, lr: (raised(lr, step),)),
    ("rules.real_power", lambda step, lr: (rules.real_power(lr, lr),)),
    ("gpuopt.rules.real_power by another name, rooted", lambda step, lr: (rooted(lr, lr),)),
    ("np.real_power on constants alone", lambda step, lr: (lr * real_power(2.0, 0.5),)),
    ("power with the exponent lr", lambda step, lr: (power(lr, lr),)),
    ("power with the exponent 3", lambda step, lr: (power(lr, 3),)),
    ("power with the exponent t0", lambda step, lr: (power(lr, step - 1.0),)),
    ("np.sqrt on constants alone (write the number)", lambda step, lr: (lr * np.sqrt(2.0),)),
    ("the number TWO by name", lambda step, lr: (double_of(lr),)),
    ("the constant True as an operand of *", lambda step, lr: (lr * True,)),
    ("a value as a condition", lambda step, lr: (lr if step > 1 else 0.0,)),
    ("a value as a condition", lambda step, lr: (min(lr, 1.0),)),
    ("a comparison as a result", lambda step, lr: (step > 1,)),
    ("a result None", lambda step, lr: (None,)),
]
"""What the message must name, and a function of coefficients that uses it."""


def log_of(lr):
    return np.log(lr)


@pytest.mark.parametrize(
    ("used", "function"), REFUSED_COEFFICIENTS, ids=[used for used, _ in REFUSED_COEFFICIENTS]
)
def test_coefficients_that_are_not_exact_are_refused_by_name(used, function):
    with pytest.raises(RuleError) as caught:
        register("refused", lambda p, g, lr: p - lr * g, function, hyperparameters={"lr": 0.1})
    message = str(caught.value)
    assert message.startswith(f"<lambda> uses {used}")
    assert "a function of coefficients may use only" in message
    assert "by `from gpuopt.rules import power, real_power`" in message
    assert "refused" not in RULES


def test_another_function_called_power_is_refused(monkeypatch):
    """Compilers that have a power of their own would take that."""
    monkeypatch.setitem(globals(), "power", own_power)
    with pytest.raises(RuleError, match="called power that is not"):
        register(
            "refused",
            lambda p, g, lr: p - lr * g,
            lambda step, lr: (power(lr, step),),
            hyperparameters={"lr": 0.1},
        )


MISFITS = [
    ("first parameters must be ('p', 'g')", {"update": lambda g, p, lr: p - lr * g}),
    ("first parameters must be ('p', 'g')", {"update": lambda p: p}),
    (
        "first parameters must be ('p', 'g', 'm')",
        {"update": lambda p, g, lr, m: (p - lr * g, m), "states": ("m",)},
    ),
    (
        "first parameters must be ('p', 'g', 'm', 'v')",
        {"update": lambda p, g, v, m, lr: (p - lr * g, v, m), "states": ("m", "v")},
    ),
    ("without * or **", {"update": lambda p, g, *lr: p - lr[0] * g}),
    ("without * or **", {"update": lambda p, g, *, lr: p - lr * g}),
    ("update returns 2 values", {"update": lambda p, g, lr: (p - lr * g, g)}),
    ("update returns 1 values", {"update": lambda p, g, m, lr: p - lr * m, "states": ("m",)}),
    ("update returns a tuple", {"update": lambda p, g, lr: (p - lr * g,)}),
    ("coefficients returns 2 values for ('lr',)", {"coefficients": lambda step, lr: (lr, lr)}),
    ("coefficients returns 0 values for ('lr',)", {"coefficients": lambda step, lr: ()}),
    ("instead of a tuple", {"coefficients": lambda step, lr: lr}),
    ("must take step", {"coefficients": lambda lr: (lr,)}),
    ("must take step, mu and the", {"carried": {"mu": 1.0}}),
    (
        "must take step, mu and the",
        {"carried": {"mu": 1.0}, "coefficients": lambda step, lr, mu: (lr, mu)},
    ),
    (
        "coefficients returns 1 values for ('lr', 'mu')",
        {"carried": {"mu": 1.0}, "coefficients": lambda step, mu, lr: (lr,)},
    ),
    ("'shrink': reserved for every optimizer", {"carried": {"shrink": 1.0}}),
    ("must take step", {"coefficients": lambda step, beta: (beta,)}),
    ("must take step", {"coefficients": lambda step: (0.5,)}),
    (
        "'weight_decay': reserved for every optimizer",
        {"update": lambda p, g, weight_decay: p - weight_decay * p},
    ),
    (
        "'maximize': reserved for every optimizer",
        {"hyperparameters": {"lr": 0.1, "maximize": 0.0}},
    ),
    ("must be an identifier, got 'heavy ball'", {"name": "heavy ball"}),
    ("'adam' is registered already", {"name": "adam"}),
    ("update of rule 'refused': expected a Python function", {"update": np.add}),
    ("coefficients of rule 'refused': expected a Python function", {"coefficients": 0.1}),
]
"""What the message must say, and how a rule that would do is changed."""


@pytest.mark.parametrize(("message", "change"), MISFITS, ids=[message for message, _ in MISFITS])
def test_parts_that_do_not_fit_together_are_refused(message, change):
    fitting = {
        "name": "refused",
        "update": lambda p, g, lr: p - lr * g,
        "coefficients": only_lr,
        "hyperparameters": {"lr": 0.1},
    }
    before = dict(RULES)
    with pytest.raises(RuleError) as caught:
        register(**{**fitting, **change})
    assert message in str(caught.value)
    assert before == RULES


# --- a new rule runs everywhere -----------------------------------------------------------------


def sign_descent(p, g, lr):
    """p = p - lr*sign(g)."""
    return p - lr * np.where(g > 0.0, 1.0, np.where(g < 0.0, -1.0, 0.0))


def averaging(p, g, exp_avg, beta, one_minus_beta, lr):
    """m = b*m + (1-b)*g ; p = p - lr*m."""
    exp_avg = beta * exp_avg + one_minus_beta * g
    return p - lr * exp_avg, exp_avg


def averaging_coefficients(step, lr, beta):
    return beta, 1.0 - beta, lr


def constants(p, g, lr):
    """To NumPy np.where(mask, 3.0, 5.0) is float64: it must not widen what follows."""
    return p - lr * np.divide(g, np.where(g > p, 3.0, 5.0)) + 0.5 * (lr * g)


def all_functions(p, g, lr):
    """Everything that a rule may use."""
    small = np.minimum(np.abs(p), np.maximum(-g, lr))
    unequal = np.where(g != lr, small, p)
    order = np.where(g <= p, np.where(g >= lr, unequal, g), np.where(g == lr, p, small))
    return np.where(p < lr, order, p) - np.divide(g, np.sqrt(lr + p * p))


NEW = {
    "sign_descent": (sign_descent, only_lr, (), {"lr": 0.1}, False),
    "averaging": (averaging, averaging_coefficients, ("exp_avg",), {"lr": 0.1, "beta": 0.9}, True),
    "constants": (constants, only_lr, (), {"lr": 0.1}, False),
    "all_functions": (all_functions, only_lr, (), {"lr": 0.1}, False),
    "anonymous": (lambda p, g, lr: p - lr * g, only_lr, (), {"lr": 0.1}, False),
}
"""Updates, coefficients, states, hyperparameters and whether their decay is decoupled."""


@pytest.fixture
def new_rule(request):
    """A rule of this file, registered as long as the test runs."""
    update, coefficients, states, hyperparameters, decoupled = NEW[request.param]
    name = f"new_{request.param}"
    yield register(
        name,
        update,
        coefficients,
        states=states,
        hyperparameters=hyperparameters,
        decoupled=decoupled,
    )
    del RULES[name]


def hostile(dtype, n=5000):
    """Ordinary numbers, and each pair of numbers that are none."""
    odd = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 3e38, 1e-38]
    with np.errstate(all="ignore"):
        odd = np.array(odd).astype(dtype)
    rng = np.random.default_rng(5)
    p, g = np.meshgrid(odd, odd)
    drawn = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    return [np.concatenate([a.ravel(), b]) for a, b in zip((p, g), drawn)]


STAGES = {"weight_decay": 0.05, "maximize": 1.0, "grad_factor": 0.3}


@pytest.mark.parametrize("backend", on_cpu(reference=False))
@pytest.mark.parametrize(
    ("new_rule", "dtype", "options"),
    [(name, "float32", STAGES) for name in NEW] + [("constants", "float64", {})],
    ids=[*NEW, "constants in float64"],
    indirect=["new_rule"],
)
def test_a_new_rule_gives_the_same_bits_on_every_backend(new_rule, backend, dtype, options):
    p, g = hostile(dtype)
    expected, states = by_rule(new_rule, p, [g, -g, p], options, "numpy")
    actual, actual_states = by_rule(new_rule, p, [g, -g, p], options, backend)
    assert_same_bits(actual, expected, "the parameter")
    for name, state in states.items():
        assert_same_bits(actual_states[name], state, name)


@pytest.mark.parametrize("backend", on_cpu())
@pytest.mark.parametrize("new_rule", ["sign_descent"], indirect=True)
def test_sign_descent_steps_by_lr(new_rule, backend):
    p, g = np.zeros(5, np.float32), np.array([3.0, -1e-30, 0.0, np.inf, -2.0], np.float32)
    after, _ = by_rule(new_rule, p, [g], {"lr": 0.5}, backend)
    assert after.tolist() == [-0.5, 0.5, 0.0, -0.5, 0.5]


@pytest.mark.parametrize("backend", on_cpu())
def test_lion_gives_the_values_that_optax_publishes(backend):
    """f(x) = sum(x**2) from (1, 2, 3), f after each of five steps; optax's decay is 1e-3."""
    start = np.array([1, 2, 3], np.float32)
    p, gradients, printed = start, [], []
    for _ in range(5):
        gradients.append(2 * p)
        p, _ = by_rule(RULES["lion"], start, gradients, {"lr": 3e-3, "weight_decay": 1e-3}, backend)
        printed.append(f"{np.sum(p**2):.2E}")
    assert printed == ["1.40E+01", "1.39E+01", "1.39E+01", "1.39E+01", "1.38E+01"]


@pytest.mark.parametrize("new_rule", ["constants"], indirect=True)
def test_numbers_in_a_rule_are_of_the_dtype_that_it_computes_in(new_rule):
    f = np.float32
    p, g = np.random.default_rng(2).standard_normal((2, 1000)).astype(f)
    after, _ = by_rule(new_rule, p, [g], {})
    divisor = np.where(g > p, f(3), f(5))
    assert_same_bits(after, p - f(0.1) * (g / divisor) + f(0.5) * (f(0.1) * g))


def test_a_new_rule_is_gone_after_its_test():
    assert not [name for name in RULES if name.startswith("new_")]


# --- what a rule cannot have ----------------------------------------------------------------------


def scaled(p, g, rate):
    return p - rate * g


def rate_alone(step, rate):
    return (rate,)


def two_lists(p, g, mb, rate):
    return p - rate * g, mb


BAD_PARTS = [
    ({"name": 5}, "must be an identifier, got 5"),
    ({"hyperparameters": ("rate",)}, "expected numbers by name, or options, got"),
    ({"update": two_lists, "states": "mb"}, "states of rule 'bad': expected a tuple of names"),
    ({"hyperparameters": {"rate": "x"}}, "default of rate: expected a finite number, got 'x'"),
    ({"hyperparameters": {"rate": math.inf}}, "default of rate: expected a finite number, got inf"),
    ({"decoupled": True}, "decoupled: expected the hyperparameter lr, got none"),
]


@pytest.mark.parametrize(("parts", "message"), BAD_PARTS)
def test_parts_that_do_not_fit(parts, message):
    given = {"update": scaled, "coefficients": rate_alone, "hyperparameters": {"rate": 0.5}}
    with pytest.raises((RuleError, TypeError), match=re.escape(message)):
        register(**{"name": "bad", **given, **parts})
    assert "bad" not in RULES


def with_hyperparameter(name):
    source = f"def coefficients(step, {name}):\n    return ({name},)\n"
    names = {}
    exec(source, names)
    return names["coefficients"]


@pytest.mark.parametrize("name", sorted(OPTIMIZER_NAMES - {"step"}))
def test_hyperparameters_that_would_hide_what_every_optimizer_has(name):
    with pytest.raises(RuleError, match=f"'{name}': reserved for every optimizer"):
        register("bad", scaled, with_hyperparameter(name), hyperparameters={name: 0.5})


def test_a_state_cannot_be_called_step():
    def update(p, g, step, rate):
        return p - rate * g, step

    with pytest.raises(RuleError, match="'step': reserved for every optimizer"):
        register("bad", update, rate_alone, states=("step",), hyperparameters={"rate": 0.5})


def test_all_that_every_optimizer_has_is_reserved():
    public = {name for name in dir(gpuopt.Optimizer) if not name.startswith("_")}
    assert public | set(Tail.__dataclass_fields__) <= OPTIMIZER_NAMES
    torch = pytest.importorskip("torch")
    theirs = inspect.signature(torch.optim.Adam).parameters
    flags = {"foreach", "capturable", "differentiable", "fused", "params"}
    assert flags <= set(theirs) & OPTIMIZER_NAMES


def test_a_rule_with_sums_of_ones_own():
    def update(p, g, step_size):
        return p - step_size * g

    def coefficients(step, size, of_g, lr):
        return (np.divide(lr, np.sqrt(np.divide(of_g, size))),)

    name = "normalized"
    gpuopt.register(
        name,
        update,
        coefficients,
        hyperparameters={"lr": 0.5},
        facts=("size",),
        sums=("of_g",),
        summed=lambda g: (g,),
    )
    try:
        p = np.zeros(4, np.float32)
        gpuopt.Optimizer([p], rule=name).step([np.full(4, 8.0, np.float32)])
        assert p.tolist() == [-0.5] * 4
    finally:
        del RULES[name]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"facts": ("shape",)}, "facts: expected some of ('ndim', 'size'), got 'shape'"),
        ({"sums": "of_g"}, "sums of rule 'wrong': expected a tuple of names, got 'of_g'"),
        ({"sums": ("of_g",)}, "summed: expected a Python function, got None"),
        ({"sums": ("a",), "summed": lambda g: (g, g)}, "summed returns 2 values for ('a',)"),
        ({"sums": ("a",), "summed": lambda h: (h,)}, "summed takes 'h', which the update does not"),
    ],
)
def test_sums_that_do_not_fit(wrong, message):
    parts = {"hyperparameters": {"lr": 0.1}, **wrong}
    with pytest.raises(gpuopt.RuleError) as caught:
        gpuopt.register("wrong", lambda p, g, lr: p - lr * g, given_coefficients(wrong), **parts)
    assert message in str(caught.value)


def given_coefficients(wrong):
    """Coefficients that take the facts and sums that a rule is said to have."""
    names = [
        *wrong.get("facts", ()),
        *(s for s in wrong.get("sums", ()) if wrong["sums"] != "of_g"),
    ]
    scope = {}
    exec(f"def coefficients({', '.join(['step', *names, 'lr'])}):\n    return (lr,)\n", scope)
    return scope["coefficients"]
