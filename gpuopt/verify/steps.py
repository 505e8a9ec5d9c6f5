"""Trainings that a backend and NumPy go through: what is left of them is compared."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..optimizers.classes import Optimizer
from ..rules.definitions import DEFINITIONS
from ..rules.registry import RULES, Rule
from .checks import LAYOUTS, Check, adds
from .compare import AFTER_SUMS, IN_ANOTHER_ORDER, Outcome, left, numbers
from .libraries import LIBRARIES, Library, device_of
from .values import hostile, tame

STEPS = 3
OF_RULES = ("rule", "finite", "late")
"""The kinds of checks that run passes, too."""

RESTING = 4
"""The parameter that has no gradient in the last step."""

SKIPPED, INFINITE = 2, 3
"""A step that is skipped where that is asked for, and the parameter whose gradient is to blame."""

THREADS = 4
LATE = 1000
"""Steps that are counted, and not taken, so that those after them are the rule's usual ones."""

LR, OF_AN_ESTIMATE, D0 = 0.1, 1.0, 0.01
"""Such that bfloat16 parameters move, too; and with which an estimate grows, from `D0` on."""


class Side(NamedTuple):
    """A backend, and the arrays that it updates: those that are checked, or the reference.

    Attributes:
        backend: its name; it is forced while the training runs.
        library: makes the arrays.
        device: where they lie.
    """

    backend: str
    library: Library
    device: str

    def array(self, values: Any, dtype: str) -> Any:
        """Return an array with a copy of stored elements."""
        return self.library.make(values, dtype, self.device)


def sides_of(check: Check) -> tuple[Side, Side]:
    """Return the side that is checked, and the reference."""
    library = LIBRARIES[check.library]
    mine = Side(check.backend, library, device_of(check.backend))
    return mine, Side("numpy", LIBRARIES[library.reference], "cpu")


def rules_of(check: Check) -> tuple[Rule, ...]:
    """Return the rules that a check may step by."""
    drop_in = DEFINITIONS.get(check.subject)
    return drop_in.all_rules if drop_in else (RULES[check.subject],)


def has_finite_sums(check: Check) -> bool:
    """Whether sums over tensors are numbers: hostile values make them infinite or NaN."""
    return check.kind != "rule" and any(adds(rule.name) for rule in rules_of(check))


def parameters(check: Check, side: Side) -> list[Any]:
    """Return new parameters."""
    return _drawn(check, side, 0, tame if has_finite_sums(check) else hostile)


def gradients(check: Check, side: Side, step: int) -> list[Any]:
    """Return the gradients of a step, counted from 1.

    Where norms are compared, their squares add up exactly, and those of one step have an infinity
    if that skips it; else they are hostile.
    """
    options, finite = check.options, has_finite_sums(check)
    if not (finite or {"clip_norm", "skip_nonfinite", "stats"} & options.keys()):
        return _drawn(check, side, step, hostile)
    skipped = step == SKIPPED and "skip_nonfinite" in options
    infinite = INFINITE if skipped else None
    draw = partial(tame, infinite=infinite, of_one_sign=finite and grows(check))
    return _drawn(check, side, step, draw)


def grows(check: Check) -> bool:
    """Whether an estimate is found, which grows where all gradients point the same way."""
    return any(rule.totals for rule in rules_of(check))


def _drawn(check: Check, side: Side, seed: int, draw: Any) -> list[Any]:
    extra = 1 if check.layout == "misaligned" else 0
    made = (side.array(values, check.dtype) for values in draw(seed, check.dtype, extra))
    return [array[LAYOUTS[check.layout]] for array in made]


def lr_of(check: Check) -> float:
    """Return the learning rate of a check."""
    return OF_AN_ESTIMATE if grows(check) else LR


def optimizer_of(check: Check, params: Sequence[Any], lr: Any = None) -> Optimizer:
    """Return the optimizer of a check; its learning rate may be an array."""
    options = check.options
    options.pop("scale", None)
    known = RULES[check.subject].hyperparameters
    numbers = {"lr": lr_of(check) if lr is None else lr, "d0": D0}
    options |= {name: number for name, number in numbers.items() if name in known}
    optimizer = Optimizer(params, rule=check.subject, **options)
    if "train" in RULES[check.subject].passes:
        optimizer.train()  # type: ignore[attr-defined]  # of these rules
    return optimizer


def take(check: Check, optimizer: Optimizer, grads: Sequence[Any], step: int = 0) -> None:
    """Take a step, and run the rule's passes; in the last of `STEPS` a parameter has no gradient.

    They run in the checks of rules: some of the others wait for nothing, or replay a graph.
    """
    given = [None if step == STEPS and i == RESTING else grad for i, grad in enumerate(grads)]
    scale = check.options.get("scale", 1.0)
    optimizer.step(given, scale=scale)
    if check.kind in OF_RULES:
        run_passes(optimizer, given, scale)


def run_passes(optimizer: Any, grads: Sequence[Any], scale: float) -> None:
    """Run all passes of an optimizer's rule, by the methods of their names."""
    passes = optimizer._definition.passes
    if "update_hessian" in passes:
        optimizer.update_hessian(grads, scale=scale)
    if "train" in passes:
        optimizer.eval()
        optimizer.train()


def left_of(
    optimizer: Optimizer, params: Sequence[Any], grads: Sequence[Any], exact: bool = False
) -> Outcome:
    """Return all that the last step leaves; waits for a device.

    Args:
        optimizer: what stepped.
        params: its parameters.
        grads: the gradients of the last step.
        exact: whether all sums of squares are exact.
    """
    found = {f"param {i}": left(array) for i, array in enumerate(params)}
    found |= {f"gradient {i}": left(array) for i, array in enumerate(grads)}
    shared = optimizer._definition.shared
    for key, held in optimizer.state.items():
        for name, value in held.items():
            what = f"{name} of param {key}"
            number = isinstance(value, (int, float))
            close = IN_ANOTHER_ORDER * (name in shared)
            found[what] = numbers(value, close) if number else left(value)
    if optimizer.tail.measures:
        found["grad_norm"] = numbers(optimizer.grad_norm)
    if optimizer.tail.skip_nonfinite:
        found["skipped_steps"] = numbers(optimizer.skipped_steps)
    if optimizer.tail.stats:
        for key, stats in optimizer.stats().items():
            for name, value in stats._asdict().items():
                close = name in ("update_norm", "param_norm") and not exact
                found[f"{name} of param {key}"] = numbers(value, IN_ANOTHER_ORDER * close)
    return found


# --- ways to step ---------------------------------------------------------------------------


def trained(check: Check, side: Side, resume: bool = False, late: bool = False) -> Outcome:
    """Some steps.

    Args:
        check: says by which rule.
        side: that steps.
        resume: let another optimizer take over before the last step.
        late: count `LATE` steps behind the first one.
    """
    params = parameters(check, side)
    optimizer = optimizer_of(check, params)
    for step in range(1, STEPS + 1):
        if resume and step == STEPS:
            saved, optimizer = optimizer.state_dict(), optimizer_of(check, params)
            optimizer.load_state_dict(saved)
        grads = gradients(check, side, step)
        take(check, optimizer, grads, step)
        if late and step == 1:
            _count_more(optimizer)
    found = left_of(optimizer, params, grads)
    if check.dtype == "float64" and has_finite_sums(check):
        return {what: one._replace(relative=AFTER_SUMS) for what, one in found.items()}
    return found


def _count_more(optimizer: Optimizer) -> None:
    saved = optimizer.state_dict()
    for held in saved["state"].values():
        held["step"] += LATE
    optimizer.load_state_dict(saved)


def in_threads(check: Check, side: Side) -> Outcome:
    """Several threads, each with an optimizer of its own, step for the first time at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = list(pool.map(lambda _: trained(check, side), range(THREADS)))
    return _of_each(outcomes)


def one_by_one(check: Check, side: Side) -> Outcome:
    """What several threads should leave."""
    return _of_each(THREADS * [trained(check, side)])


def _of_each(outcomes: Sequence[Outcome]) -> Outcome:
    return {
        f"thread {i}: {what}": one for i, each in enumerate(outcomes) for what, one in each.items()
    }


def summed(check: Check, side: Side) -> Outcome:
    """Steps whose norms and statistics are exact, in whatever order they are added up."""
    params = [side.array(values, check.dtype) for values in tame(0, check.dtype)]
    optimizer = Optimizer(params, rule="gradient_descent", lr=0.5, stats=True, clip_norm=1e9)
    for step in range(1, STEPS + 1):
        grads = [side.array(values, check.dtype) for values in tame(step, check.dtype)]
        optimizer.step(grads)
    return left_of(optimizer, params, grads, exact=True)


def in_other_order(check: Check, side: Side) -> Outcome:
    """Matrices whose gradients lie in memory column by column."""
    rows, columns = 93, 88
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> Any:
        return side.array(rng.standard_normal(shape).astype(check.dtype), check.dtype)

    params = [matrix(rows, columns), matrix(rows * columns).reshape(rows, columns)[::2]]
    optimizer = optimizer_of(check, params)
    for _ in range(STEPS):
        grads = [matrix(columns, rows).T, matrix(columns, rows).T[1::2]]
        optimizer.step([grads[0], matrix(len(params[1]), columns)])
    return left_of(optimizer, params, grads)
