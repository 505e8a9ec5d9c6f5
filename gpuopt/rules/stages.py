"""Stages around every rule: maximize, unscaling and clipping; weight decay; cautious updates."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from ..kernels.trace.operations import trace
from ..kernels.trace.retarget import function_from
from .registry import Rule, Stage
from .rule import parameters_of


def scale_gradient(g, factor):
    """g = factor*g: one factor for maximize, unscaling and clipping."""
    return factor * g


def scale_gradient_coefficients(maximize, grad_factor):
    return (grad_factor * (1.0 - 2.0 * maximize),)


def l2_decay(p, g, weight_decay):
    """g = g + weight_decay*p; if weight_decay is zero, g is unchanged (0*inf would be NaN)."""
    return np.where(weight_decay != 0.0, g + weight_decay * p, g)


def l2_decay_coefficients(weight_decay):
    return (weight_decay,)


def decoupled_decay(p, shrink):
    """p = (1 - lr*weight_decay) * p."""
    return shrink * p


def decoupled_decay_coefficients(lr, weight_decay):
    return (np.where(weight_decay != 0.0, 1.0 - lr * weight_decay, 1.0),)


def set_aside(p):
    """Set p aside and replace it by 0: the rule, which subtracts its update, then gives -update."""
    return p, np.where(p == p, 0.0, 0.0)


def cautious_update(p, g):
    """p = 0 unless the update has the sign of a nonzero g; their product may underflow."""
    twice = g + g  # in float32: 16-bit g would be compared in pairs
    with_g = np.where(twice > 0.0, -p, np.where(twice < 0.0, p, 0.0))
    return np.where(with_g <= 0.0, 0.0, p)


def put_back(p, aside):
    """p = p - update."""
    return aside + p


def cautious_decay(p, aside, shrink):
    """p = shrink*p - update where update*p >= 0, else p - update."""
    against = np.where(aside < 0.0, -p, p)
    return np.where(against <= 0.0, shrink * aside, aside) + p


SCALE_GRADIENT = Stage("scale_gradient", scale_gradient, ("g",), scale_gradient_coefficients)
L2_DECAY = Stage("l2_decay", l2_decay, ("g",), l2_decay_coefficients)
DECOUPLED_DECAY = Stage("decoupled_decay", decoupled_decay, ("p",), decoupled_decay_coefficients)
SET_ASIDE = Stage("set_aside", set_aside, ("aside", "p"))
CAUTIOUS_UPDATE = Stage("cautious_update", cautious_update, ("p",), behind=True)
PUT_BACK = Stage("put_back", put_back, ("p",), values=("p", "aside"), behind=True)
"""Stages around a rule for which `subtracts` is true, in order; `cautious_decay` also puts back."""


def decay_of(rule: Rule) -> Stage:
    """Return the stage of a rule's weight decay."""
    return rule.decay or (DECOUPLED_DECAY if rule.decoupled else L2_DECAY)


@cache
def cautious_decay_of(rule: Rule) -> Stage:
    """Return the stage that decays where the update has the sign of p.

    Raises:
        ValueError: the rule's decay is not decoupled, or is a part of its update.
    """
    _check_decoupled("cautious_weight_decay", rule)
    coefficients, values = decay_of(rule).coefficients, ("p", "aside")
    return Stage("cautious_decay", cautious_decay, ("p",), coefficients, values, behind=True)


def _check_decoupled(option: str, rule: Rule) -> None:
    if rule.decays:
        raise ValueError(
            f"{option}: expected a rule whose update leaves decay to a stage of its "
            f"own, got {rule.name!r}"
        )
    if not rule.decoupled:
        raise ValueError(f"{option}: expected a rule whose decay is decoupled, got {rule.name!r}")


@cache
def scheduled_decay_of(rule: Rule, stage: Stage) -> Stage:
    """Return a decay that depends on the learning rate's schedule, but not on its scale.

    Args:
        rule: the rule.
        stage: its decay.

    Raises:
        ValueError: the rule's decay is not decoupled, or is a part of its update.
    """
    _check_decoupled("decouple_lr", rule)
    assert stage.coefficients is not None
    names = parameters_of(stage.coefficients)
    given = ", ".join("np.divide(lr, decouple_lr)" if name == "lr" else name for name in names)
    name = f"scheduled_{stage.name}_coefficients"
    source = f"def {name}({', '.join(names)}, decouple_lr):\n    return coefficients({given})\n"
    known = {"__name__": __name__, "np": np, "coefficients": stage.coefficients}
    return replace(
        stage, name=f"scheduled_{stage.name}", coefficients=function_from(source, name, known)
    )


@cache
def subtracts(rule: Rule) -> bool:
    """Return whether an update is ``p - u``, where u does not depend on p, nor on sums."""
    if rule.sums or rule.totals:  # sums would be over the parameter that is set aside
        return False
    traced = trace(rule.update, parameters_of(rule.update))
    readers = [one for one in traced.operations if "p" in one.operands]
    if len(readers) != 1 or readers[0].name != "-" or readers[0].operands[0] != "p":
        return False
    new = readers[0].result
    others = [one for one in traced.operations if new in one.operands]
    return traced.results[0] == new and not others and new not in traced.results[1:]
