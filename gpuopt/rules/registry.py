"""The registry of all rules, and checks of the rules that users register."""

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
"""The properties of a tensor that coefficients may take."""

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
"""Names of attributes and arguments of every optimizer, which no hyperparameter or state may
use."""


def add_rule(rule: Rule) -> Rule:
    """Add a rule to the registry unchecked, and return it.

    For gpuopt's own rules, which a test checks, so that importing gpuopt traces none of them.
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
    not_in_float16: tuple[str, ...] = (),
    nonnegative: tuple[str, ...] = (),
    copies: tuple[str, ...] = (),
    facts: tuple[str, ...] = (),
    sums: tuple[str, ...] = (),
    summed: Callable[..., Any] | None = None,
    constant: tuple[str, ...] = (),
    shared: Mapping[str, float | str] | None = None,
    totals: tuple[str, ...] = (),
    totalled: Callable[..., Any] | None = None,
    advance: Callable[..., Any] | None = None,
    totals_first: bool = False,
) -> Rule:
    """Check a rule and add it to the registry; it then runs on every backend.

    Use it with `gpuopt.Optimizer` and `gpuopt.torch.Optimizer`.

    Args:
        name: an identifier that no other rule has.
        update: ``p, *states = update(p, g, *states, *coefficients)``, in correctly rounded NumPy
            operations.
        coefficients: ``coefficients(step, *carried, **hyperparameters)``; returns a tuple of the
            update's coefficients, followed by the carried numbers of the next step.
        states: the names of the states, in the update's order; they start at zero.
        hyperparameters: default values by name, or options with their own ranges.
        decoupled: whether ``weight_decay`` shrinks the parameter, instead of being added to the
            gradient.
        initial: for states that do not start at zero, the hyperparameter with the initial value.
        carried: the scalars that a tensor keeps from step to step, with their initial values.
        wide: the states that are never stored in 16 or 8 bits.
        not_in_8_bits: the states that may be stored in 16 bits, but not in 8.
        not_in_float16: the states that are too small for float16, which ends at 6e-8.
        nonnegative: the states that are never negative; 8-bit formats store their square roots.
        copies: the states that start as copies of the parameter; they must be ``wide``.
        facts: properties of a tensor that ``coefficients`` takes after the carried numbers:
            ``"ndim"`` and ``"size"``.
        sums: the names of sums that ``coefficients`` takes after those: sums over the tensor,
            before any element changes, of the squares of ``summed``'s results.
        summed: ``values = summed(...)``, a pure NumPy function of ``p``, ``g``, states, and
            coefficients that do not depend on the sums, all by name.
        constant: the states that the update does not change; it takes those that it reads.
        shared: the numbers that all tensors of an optimizer share, with their initial values: a
            number, or the name of a hyperparameter. ``coefficients`` takes them by name.
        totals: the names of sums over all tensors of the values that ``totalled`` returns.
        totalled: a function like ``summed``; its results are added up without squaring.
        advance: ``shared = advance(*shared, *totals, **hyperparameters)``, in float64, as a tuple;
            takes the first group's hyperparameters by name.
        totals_first: compute the totals in a separate pass, before any element changes;
            ``coefficients`` may then also take each next shared number, named ``next_`` and its
            name.

    Raises:
        RuleError: the name is taken, the update or its coefficients use an operation that is
                not correctly rounded (the message names it), or the parts do not fit together.

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
        "not_in_float16": not_in_float16,
        "nonnegative": nonnegative,
        "copies": copies,
        "facts": facts,
        "sums": sums,
        "constant": constant,
        "totals": totals,
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
        shared=dict(shared or {}),
        totalled=totalled,
        advance=advance,
        totals_first=totals_first,
        **kinds,
    )
    check(rule)
    return add_rule(rule)


def check(rule: Rule) -> None:
    """Check that every backend can compile a rule.

    Raises:
        RuleError: a backend cannot; the message says why.
    """
    expected = rule.values
    parameters = parameters_of(rule.update)
    if parameters[: len(expected)] != expected:
        raise RuleError(
            f"{rule.name}: update takes {parameters}, but its first parameters must be {expected}"
        )
    kinds = {p.kind for p in inspect.signature(rule.update).parameters.values()}
    if kinds != {inspect.Parameter.POSITIONAL_OR_KEYWORD}:
        raise RuleError(f"{rule.name}: update must take plain parameters, without * or **")
    _check_names(rule, parameters)
    for role in ("wide", "not_in_8_bits", "not_in_float16", "nonnegative", "copies", "constant"):
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
    for name, stage in rule.passes.items():
        _check_pass(rule, name, stage)
    unknown = [name for name in rule.facts if name not in FACTS]
    if unknown:
        raise RuleError(f"{rule.name}: facts: expected some of {FACTS}, got {unknown[0]!r}")
    _check_sums(rule, "summed", rule.summed, rule.sums)
    _check_sums(rule, "totalled", rule.totalled, rule.totals)
    _check_shared(rule)


def _check_sums(rule: Rule, role: str, function: Any, names: tuple[str, ...]) -> None:
    if not names and function is None:
        return
    if not isinstance(function, FunctionType):
        raise RuleError(f"{rule.name}: {role}: expected a Python function, got {function!r}")
    takes, known = parameters_of(function), {"p", "g", *rule.states, *rule.coefficient_names}
    unknown = sorted({*takes} - known)
    if unknown:
        raise RuleError(f"{rule.name}: {role} takes {unknown[0]!r}, which the update does not")
    returned = len(trace(function, takes).results)
    if returned != len(names):
        raise RuleError(f"{rule.name}: {role} returns {returned} values for {names}")


def _check_shared(rule: Rule) -> None:
    if not (rule.shared or rule.totals):
        return
    if not isinstance(rule.advance, FunctionType):
        raise RuleError(f"{rule.name}: advance: expected a Python function, got {rule.advance!r}")
    takes, first = parameters_of(rule.advance), (*rule.shared, *rule.totals)
    unknown = sorted({*takes[len(first) :]} - {*rule.hyperparameters})
    if takes[: len(first)] != first or unknown:
        raise RuleError(
            f"{rule.name}: advance takes {takes}, but must take {', '.join(first)} and some of the "
            f"hyperparameters {tuple(rule.hyperparameters)}"
        )
    returned = len(trace_coefficients(rule.advance, takes).results)
    if returned != len(rule.shared):
        raise RuleError(f"{rule.name}: advance returns {returned} values for {tuple(rule.shared)}")


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
    kept = {*rule.states, *rule.hyperparameters, *rule.carried, *rule.sums, *rule.shared}
    names = {*parameters, *rule.coefficient_names, *rule.totals, *kept}
    allowed = {WEIGHT_DECAY} & rule.hyperparameters.keys()  # the update handles decay itself
    reserved = {n for n in names - allowed if n in RESERVED or n.rstrip("0123456789") == "element"}
    reserved |= OPTIMIZER_NAMES & kept
    if reserved:
        which = ", ".join(map(repr, sorted(reserved)))
        raise RuleError(f"{rule.name}: {which}: reserved for every optimizer; choose another name")
    if rule.decoupled and "lr" not in rule.hyperparameters:
        raise RuleError(f"{rule.name}: decoupled: expected the hyperparameter lr, got none")
    for option in rule.options:
        if option.default is None:
            continue
        for part, accepts in zip(option.hyperparameters.items(), option.ranges):
            try:
                accepts(*part)
            except (TypeError, ValueError) as error:
                raise RuleError(f"{rule.name}: default of {error}") from None


def _check_coefficients(rule: Rule) -> None:
    takes = parameters_of(rule.coefficients)
    first = ("step", *rule.carried, *rule.facts, *rule.sums)
    rest, shared = {*takes[len(first) :]}, {*rule.shared_names}
    others = {*rule.shared.values(), *(parameters_of(rule.advance) if rule.advance else ())}
    needed = {*rule.hyperparameters} - others
    if takes[: len(first)] != first or not needed <= rest <= {*rule.hyperparameters} | shared:
        raise RuleError(
            f"{rule.name}: coefficients takes {takes}, but must take {', '.join(first)} and the "
            f"hyperparameters {tuple(rule.hyperparameters)}"
        )
    trace_coefficients(rule.coefficients, takes)
    starts = (1.0 if isinstance(start, str) else start for start in rule.carried.values())
    ones = (1.0 for _ in (*rule.facts, *rule.sums))
    given = {name: value for name, value in rule.hyperparameters.items() if name in rest}
    given |= dict.fromkeys(rest & shared, 1.0)
    values = rule.coefficients(1, *starts, *ones, **given)
    if not isinstance(values, tuple):
        raise RuleError(f"{rule.name}: coefficients returns {values!r} instead of a tuple")
    names = (*rule.coefficient_names, *rule.carried)
    if len(values) != len(names):
        raise RuleError(f"{rule.name}: coefficients returns {len(values)} values for {names}")
