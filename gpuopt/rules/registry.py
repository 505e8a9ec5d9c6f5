"""The registry of all rules, and the checks of those that users register."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from ..kernels.trace.coefficients import trace_coefficients
from ..kernels.trace.operations import RuleError, trace
from .options import Option, options_from
from .rule import WEIGHT_DECAY, Rule, Stage, State, parameters_of

__all__ = ["RULES", "Rule", "RuleError", "Stage", "State", "add_rule", "check", "register"]


RULES: dict[str, Rule] = {}

RESERVED = frozenset(
    {
        "aside",
        "clip_norm",
        "clip_value",
        "decouple_lr",
        "ema",
        "ema_decay",
        "ema_weight",
        "element",
        "factor",
        "grad_factor",
        "kahan_comp",
        "largest",
        "master",
        "maximize",
        "param_remainder",
        "rounding_seed",
        "seed",
        "seed_high",
        "seed_low",
        "shrink",
        "step_high",
        "step_low",
        "sum_of_squares",
        "weight_decay",
    }
)
"""The states, coefficients and hyperparameters of the stages around every rule."""

FACTS = ("ndim", "size")
"""What coefficients may take of a tensor."""

OPTIMIZER_NAMES = frozenset(
    {
        *("backend", "change", "ema", "ema_weights", "explain", "grad_norm", "load", "save"),
        *("load_state_dict", "param_groups", "rule", "skipped_steps", "state", "state_dict"),
        *("stats", "step", "tail"),
        *("clip_norm", "clip_value", "ema_decay", "error_if_nonfinite", "kahan_sum"),
        *("master_weights", "norm_group", "params", "seed", "skip_nonfinite", "state_dtype"),
        *("min_8bit_size", "stochastic_rounding", "zero_grads"),
        *("cautious", "cautious_weight_decay", "decouple_lr"),
        *("capturable", "differentiable", "foreach", "fused", "initial_lr", "param_names"),
    }
)
"""Attributes and arguments of every optimizer, which no hyperparameter and no state can have."""


def add_rule(rule: Rule) -> Rule:
    """Add a rule to the registry unchecked, and return it.

    For gpuopt's own rules: a test checks them all, so that importing gpuopt traces none.
    """
    RULES[rule.name] = rule
    return rule


def register(
    name: str,
    update: Callable[..., Any],
    coefficients: Callable[..., Any],
    *,
    states: tuple[str, ...] = (),
    hyperparameters: Mapping[str, float] | Iterable[Option] = (),
    decoupled: bool = False,
    initial: Mapping[str, str] | None = None,
    carried: Mapping[str, float | str] | None = None,
    wide: tuple[str, ...] = (),
    not_in_8_bits: tuple[str, ...] = (),
    nonnegative: tuple[str, ...] = (),
    copies: tuple[str, ...] = (),
    facts: tuple[str, ...] = (),
    sums: tuple[str, ...] = (),
    summed: Callable[..., Any] | None = None,
) -> Rule:
    """Check a rule and add it to the registry; it then runs on every backend.

    `gpuopt.Optimizer` and `gpuopt.torch.Optimizer` step with it.

    Args:
        name: an identifier that no other rule has.
        update: ``p, *states = update(p, g, *states, *coefficients)``, in exactly rounded NumPy
            operations.
        coefficients: ``coefficients(step, *carried, **hyperparameters)``; returns a tuple of the
            update's coefficients, followed by the carried numbers of the next step.
        states: the names of the states, in the update's order; they start at zero.
        hyperparameters: default values by name, or options with ranges of their own.
        decoupled: whether ``weight_decay`` shrinks the parameter instead of joining the gradient.
        initial: by state, the hyperparameter that holds its initial value.
        carried: the numbers that a tensor carries from step to step, with their initial values.
        wide: the states that are never stored in 16 or 8 bits.
        not_in_8_bits: the states that are never stored in 8 bits, but may be in 16.
        nonnegative: the states that are never negative; 8 bits hold their square roots.
        copies: the states that start as copies of the parameter; they must be ``wide``.
        facts: what ``coefficients`` takes of a tensor, behind what is carried: ``"ndim"``, the
            number of its dimensions, and ``"size"``, that of its elements.
        sums: the names of numbers that it takes behind those: of each value that ``summed`` returns
            the sum of squares over the whole tensor, before any element changes.
        summed: ``values = summed(...)``, a pure NumPy function of ``p``, ``g``, states and those
            coefficients that do not depend on the sums, all by name.

    Raises:
        RuleError: the name is taken, the update or its coefficients use an operation that is
            not exactly rounded (the message names it), or the parts do not fit together.

    >>> def update(p, g, lr):
    ...     return p - lr * g
    >>> register("descent", update, lambda step, lr: (lr,), hyperparameters={"lr": 0.1}).name
    'descent'
    >>> del RULES["descent"]  # for the other examples
    >>> register("square", lambda p, g, lr: p - lr * g**2, lambda step, lr: (lr,))
    Traceback (most recent call last):
        ...
    gpuopt.RuleError: <lambda> uses the operator ** (write x * x, ...
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise RuleError(f"the name of a rule must be an identifier, got {name!r}")
    if name in RULES:
        raise RuleError(f"the rule {name!r} is registered already")
    for role, function in (("update", update), ("coefficients", coefficients)):
        if not isinstance(function, FunctionType):
            raise RuleError(
                f"{role} of rule {name!r}: expected a Python function, got {function!r}"
            )
    names: Any
    kinds: dict[str, Any] = {
        "wide": wide,
        "not_in_8_bits": not_in_8_bits,
        "nonnegative": nonnegative,
        "copies": copies,
        "facts": facts,
        "sums": sums,
    }
    for role, names in {"states": states, **kinds}.items():
        if isinstance(names, str) or not all(isinstance(one, str) for one in names):
            raise RuleError(f"{role} of rule {name!r}: expected a tuple of names, got {names!r}")
    rule = Rule(
        name,
        update,
        coefficients,
        tuple(states),
        options_from(hyperparameters),
        decoupled,
        dict(initial or {}),
        dict(carried or {}),
        summed=summed,
        **kinds,
    )
    check(rule)
    return add_rule(rule)


def check(rule: Rule) -> None:
    """Check that every backend can compile a rule.

    Raises:
        RuleError: one cannot; the message says why.
    """
    expected = ("p", "g", *rule.states)
    parameters = parameters_of(rule.update)
    if parameters[: len(expected)] != expected:
        raise RuleError(
            f"{rule.name}: update takes {parameters}, but its first parameters must be {expected}"
        )
    kinds = {p.kind for p in inspect.signature(rule.update).parameters.values()}
    if kinds != {inspect.Parameter.POSITIONAL_OR_KEYWORD}:
        raise RuleError(f"{rule.name}: update must take plain parameters, without * or **")
    _check_names(rule, parameters)
    for role in ("wide", "not_in_8_bits", "nonnegative", "copies", "constant"):
        unknown = sorted({*getattr(rule, role)} - {*rule.states})
        if unknown:
            raise RuleError(
                f"{rule.name}: {role}: expected some of {rule.states}, got {unknown[0]!r}"
            )
    narrow = sorted({*rule.copies, *rule.constant} - {*rule.wide})
    if narrow:
        raise RuleError(f"{rule.name}: {narrow[0]!r} must be wide: it is a copy, or constant")
    traced = trace(rule.update, parameters)
    returned = len(traced.results)
    if returned != len(rule.results):
        raise RuleError(
            f"{rule.name}: update returns {returned} values instead of p and {rule.results[1:]}"
        )
    if traced.packed and not rule.states:
        raise RuleError(f"{rule.name}: update returns a tuple; without states it returns p alone")
    _check_coefficients(rule)
    _check_sums(rule)
    for name, stage in rule.passes.items():
        _check_pass(rule, name, stage)


def _check_sums(rule: Rule) -> None:
    unknown = [name for name in rule.facts if name not in FACTS]
    if unknown:
        raise RuleError(f"{rule.name}: facts: expected some of {FACTS}, got {unknown[0]!r}")
    if not rule.sums and rule.summed is None:
        return
    if not isinstance(rule.summed, FunctionType):
        raise RuleError(f"{rule.name}: summed: expected a Python function, got {rule.summed!r}")
    takes, known = parameters_of(rule.summed), {"p", "g", *rule.states, *rule.coefficient_names}
    unknown = sorted({*takes} - known)
    if unknown:
        raise RuleError(f"{rule.name}: summed takes {unknown[0]!r}, which the update does not")
    returned = len(trace(rule.summed, takes).results)
    if returned != len(rule.sums):
        raise RuleError(f"{rule.name}: summed returns {returned} values for {rule.sums}")


def _check_pass(rule: Rule, name: str, stage: Stage) -> None:
    """Check that every backend can compile a pass."""
    taken = parameters_of(stage.function)
    states = {*stage.values} - {"p", "g"}
    if taken[: len(stage.values)] != stage.values or not states <= {*rule.wide}:
        raise RuleError(f"{rule.name}: {name} takes {taken}, and must take wide states alone")
    if not {*stage.results} <= {"p", *rule.states}:
        raise RuleError(f"{rule.name}: {name} replaces {stage.results}")
    if len(trace(stage.function, taken).results) != len(stage.results):
        raise RuleError(f"{rule.name}: {name} does not return {stage.results}")
    if stage.coefficients is None:
        return
    given = parameters_of(stage.coefficients)
    if not {*given} <= rule.hyperparameters.keys():
        raise RuleError(f"{rule.name}: the coefficients of {name} take {given}")
    if len(trace_coefficients(stage.coefficients, given).results) != len(stage.coefficient_names):
        raise RuleError(f"{rule.name}: the coefficients of {name} are not those that it takes")


def _check_names(rule: Rule, parameters: tuple[str, ...]) -> None:
    names = {*parameters, *rule.states, *rule.hyperparameters, *rule.carried, *rule.sums}
    allowed = {WEIGHT_DECAY} & rule.hyperparameters.keys()  # the update decays by itself
    reserved = {n for n in names - allowed if n in RESERVED or n.rstrip("0123456789") == "element"}
    reserved |= OPTIMIZER_NAMES & {*rule.states, *rule.hyperparameters, *rule.carried}
    if reserved:
        which = ", ".join(map(repr, sorted(reserved)))
        raise RuleError(f"{rule.name}: {which}: reserved for every optimizer; choose another name")
    if rule.decoupled and "lr" not in rule.hyperparameters:
        raise RuleError(f"{rule.name}: decoupled: expected the hyperparameter lr, got none")
    for option in rule.options:
        for part, accepts in zip(option.hyperparameters.items(), option.ranges):
            try:
                accepts(*part)
            except (TypeError, ValueError) as error:
                raise RuleError(f"{rule.name}: default of {error}") from None


def _check_coefficients(rule: Rule) -> None:
    takes = parameters_of(rule.coefficients)
    first = ("step", *rule.carried, *rule.facts, *rule.sums)
    rest = takes[len(first) :]
    if takes[: len(first)] != first or sorted(rest) != sorted(rule.hyperparameters):
        raise RuleError(
            f"{rule.name}: coefficients takes {takes}, but must take {', '.join(first)} and the "
            f"hyperparameters {tuple(rule.hyperparameters)}"
        )
    trace_coefficients(rule.coefficients, takes)
    starts = (1.0 if isinstance(start, str) else start for start in rule.carried.values())
    ones = (1.0 for _ in (*rule.facts, *rule.sums))
    values = rule.coefficients(1, *starts, *ones, **rule.hyperparameters)
    if not isinstance(values, tuple):
        raise RuleError(f"{rule.name}: coefficients returns {values!r} instead of a tuple")
    names = (*rule.coefficient_names, *rule.carried)
    if len(values) != len(names):
        raise RuleError(f"{rule.name}: coefficients returns {len(values)} values for {names}")
