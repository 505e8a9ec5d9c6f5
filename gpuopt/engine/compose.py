"""Compose updates from options: select the stages around each group's rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress

from ..rules.registry import Rule, Stage
from ..rules.stages import (
    CAUTIOUS_UPDATE,
    PUT_BACK,
    SCALE_GRADIENT,
    SET_ASIDE,
    cautious_decay_of,
    decay_of,
    scheduled_decay_of,
    subtracts,
)
from ..rules.tail import CLIP_GRADIENT, CLIP_VALUE, EMA, ZERO_GRADIENT
from .low_precision import KEEPING
from .tail import Tail
from .update import Update, compose

__all__ = ["NO_TAIL", "Update", "compose", "pass_of", "stages_for", "updates_for", "within"]

NO_TAIL = Tail()


def stages_for(
    rule: Rule,
    options: Sequence[Mapping[str, float]],
    tail: Tail = NO_TAIL,
    had: Collection[Stage] = (),
) -> tuple[Stage, ...]:
    """Return the stages around a rule that change something in some group.

    A rule with a hyperparameter ``weight_decay`` handles decay itself. Stages of the last step
    remain: a factor of 1 or a decay of 0 changes no bits and moves no bytes, and removing the stage
    would compile another kernel.

    Args:
        rule: the rule, which defines whether weight decay is decoupled.
        options: the options of each group.
        tail: the tail of the step.
        had: the stages of the last step.

    Raises:
        ValueError: the tail is cautious in a way that the rule cannot be.
    """
    scales = any(o["maximize"] or o["grad_factor"] != 1.0 for o in options)
    stages: list[Stage] = []
    if tail.clip_norm is not None:
        stages.append(CLIP_GRADIENT)
    elif scales or SCALE_GRADIENT in had:
        stages.append(SCALE_GRADIENT)
    if tail.clip_value is not None:
        stages.append(CLIP_VALUE)
    decays = not rule.decays and any(o["weight_decay"] for o in options)
    decay = _decay_within(rule, tail)
    used = (decay,) if decays or decay in had else ()
    stages += _with_caution(rule, tail, used)
    return tuple(stages)


def _decay_within(rule: Rule, tail: Tail) -> Stage:
    decay = cautious_decay_of(rule) if tail.cautious_weight_decay else decay_of(rule)
    return decay if tail.decouple_lr is None else scheduled_decay_of(rule, decay)


def _with_caution(rule: Rule, tail: Tail, decay: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Return a rule's decay stage, if any, and the stages of a cautious tail."""
    careful = bool(decay) and tail.cautious_weight_decay
    if not (tail.cautious or careful):
        return decay
    if not subtracts(rule):
        option = "cautious" if tail.cautious else "cautious_weight_decay"
        raise ValueError(f"{option}: {rule.name!r} does more than to subtract an update from p")
    last = decay if careful else (PUT_BACK,)
    stages = (SET_ASIDE, *(CAUTIOUS_UPDATE,) * tail.cautious, *last)
    if careful:
        return stages
    return (*stages, *decay) if any(s.behind for s in decay) else (*decay, *stages)


def updates_for(
    rules: Sequence[Rule],
    options: Mapping[str, Sequence[float]],
    grad_factor: float = 1.0,
    tail: Tail = NO_TAIL,
    before: Sequence[Update] = (),
) -> list[Update]:
    """Return the update of each group; groups with one rule share one, with the stages of all.

    Args:
        rules: the rule of each group.
        options: ``maximize`` and ``weight_decay`` of each group, by name.
        grad_factor: the factor of all gradients.
        tail: the tail of the step.
        before: the updates of the last step.
    """
    updates: dict[Rule, Update] = {}
    for rule in dict.fromkeys(rules):
        theirs = [other is rule for other in rules]
        used = {n: any(compress(options[n], theirs)) for n in ("maximize", "weight_decay")}
        had = {stage for update in before if update.rule is rule for stage in update.stages}
        stages = stages_for(rule, [{**used, "grad_factor": grad_factor}], tail, had)
        updates[rule] = within(rule, tail, stages)
    return [updates[rule] for rule in rules]


def pass_of(rule: Rule, name: str, tail: Tail, stages: tuple[Stage, ...] = ()) -> Update:
    """Return a pass of a rule as an update after ``stages``.

    Rounding errors of the parameters are kept as in steps (masters, remainders, Kahan sums);
    otherwise parameters are rounded to the nearest. No other part of the tail applies to passes.
    """
    own = rule.passes[name]
    keeps = "p" in own.results and tail.narrow in KEEPING
    return compose(rule, stages, narrow=tail.narrow if keeps else "", instead=own)


def within(rule: Rule, tail: Tail, stages: tuple[Stage, ...] = ()) -> Update:
    """Return the update of a rule after ``stages``, with the stages of the tail."""
    after = (EMA,) * (tail.ema_decay is not None) + (ZERO_GRADIENT,) * tail.zero_grads
    return compose(rule, stages, after, tail.narrow, tail.stats)
