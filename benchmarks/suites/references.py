"""The optimizers that torch.optim lacks, compared with other packages.

The contenders are gpuopt's drop-in, a copy loop that moves the same bytes, and each package, also
with ``foreach`` if it has that. All update the same parameters from the same gradients. A package
that does not compute the same as gpuopt is left out, except for those named in a note.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from gpuopt.engine.compose import compose
from gpuopt.rules.definitions import Definition
from gpuopt.rules.registry import RULES

from ..buffers import new_params
from ..cases import OTHERS
from ..contest import Contest, Make, bytes_of
from ..copyloop import move_lists
from ..lines import Group, Place
from ..measure import COPY
from ..models import Shapes, elements
from ..peers.packages import Package
from ..peers.references import DIFFERENT, OPTIONS, REFERENCES
from ..step import Step, Unavailable
from . import Settings
from .tail import take_steps

OURS = "gpuopt, drop-in"
DTYPE = "float32"

TOLERANCE = 1e-2
"""Relative to the largest change of a weight. Different placement of eps and rounding give smaller
differences; a missing correction or decay gives larger ones."""

Params = Callable[[Place, Shapes], list[Any]]


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each rule and each model."""
    for rule in settings.others:
        yield from _contest(rule).groups(settings, settings.cold)


def _contest(rule: str) -> Contest:
    definition = OTHERS[rule]
    having = {
        n: package for n, package in REFERENCES.items() if definition.name in package.optimizers
    }
    # Kept as long as the contest: all contenders update the same memory.
    params = cache(lambda place, shapes: new_params(shapes, place.dtype, place.device))
    makes: dict[str, Make] = {
        COPY: partial(copy_of, rule),
        OURS: partial(_ours, definition, params),
    }
    makes |= {n: partial(_theirs, definition, package, params) for n, package in having.items()}
    costs = dict.fromkeys(makes, bytes_of(rule, DTYPE, {}))
    different = DIFFERENT.get(definition.name)
    notes = [different] if different else []
    return Contest("references", rule, {DTYPE: makes}, {DTYPE: costs}, {OURS}, notes=notes)


def copy_of(rule: str, place: Place, shapes: Shapes) -> Step:
    """Return a step that moves the bytes of all passes of a rule, without computing."""
    update, count = compose(RULES[rule]), elements(shapes)
    if place.device != "cpu":
        from ..cuda import copy_step

        return copy_step(round(bytes_of(rule, DTYPE, {}) * count), place.device)
    moved = sorted({*update.read, *update.written})
    before = [row for one in update.in_front for row in one.read]
    place_of = {row: i for i, row in enumerate(dict.fromkeys((*moved, *before)))}
    kept = [place_of[row] for row in update.read if row not in update.written]
    first_read = [place_of[row] for row in before]
    return move_lists(count, len(place_of), kept, first_read, len(moved))


def _ours(definition: Definition, params: Params, place: Place, shapes: Shapes) -> Step:
    return Step(ours(definition, params(place, shapes)).step)


def ours(definition: Definition, params: list[Any]) -> Any:
    """Return gpuopt's optimizer, ready to step."""
    import gpuopt.torch

    return _ready(getattr(gpuopt.torch, definition.name)(params))


def _theirs(
    definition: Definition, package: Package, params: Params, place: Place, shapes: Shapes
) -> Step:
    if not (definition.name in DIFFERENT and package.module == "pytorch_optimizer"):
        check(definition, package, place.device)
    return Step(theirs(definition, package, params(place, shapes)).step)


def theirs(definition: Definition, package: Package, params: list[Any]) -> Any:
    """Return a package's optimizer with gpuopt's defaults, ready to step.

    Raises:
        Unavailable: the package is not installed.
    """
    given = {name: value for name, value in definition.defaults.items() if name in OPTIONS}
    make = package.constructor(definition.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optimi warns that foreach is deprecated
        return _ready(make(params, given))


def _ready(optimizer: Any) -> Any:
    """Return an optimizer, in training mode if it has modes."""
    if hasattr(optimizer, "train"):
        optimizer.train()
    return optimizer


def check(
    definition: Definition,
    package: Package,
    device: str = "cpu",
    shapes: Shapes = ((40, 25), (33, 7), (8,)),
) -> None:
    """Raise Unavailable unless a package computes what gpuopt does, in float64."""
    start, mine, other = (new_params(shapes, "float64", device) for _ in range(3))
    take_steps(mine, ours(definition, mine).step)
    take_steps(other, theirs(definition, package, other).step)
    for before, my, its in zip(start, mine, other):
        moved = (its - before).abs().max().item()
        off = (my - its).abs().max().item()
        if not off <= TOLERANCE * moved:  # so that a NaN fails
            raise Unavailable(f"another formula: {off:.1e} off where weights moved by {moved:.1e}")
