"""Compare implementations of a step that move different numbers of bytes, a group per model."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuopt.kernels.storage import STORAGE

from gpuopt.engine.compose import within
from gpuopt.engine.tail import Tail, tail_of
from gpuopt.engine.update import Update
from gpuopt.engine.update_calls import bytes_of as bytes_of_lists
from gpuopt.rules.registry import RULES

from .copyloop import move_lists
from .lines import Group, Line, Place
from .measure import COPY, attempt, clock_of, failure_text, timed, waiting
from .models import Shapes, elements
from .step import Step
from .suites import Settings
from .timing import Clock, Timing, interleaved

COPY_BYTES = 28
"""Bytes per element of `copy_of`: those of an AdamW step in float32."""

Make = Callable[[Place, Shapes], Step]
"""Makes the step of a contender, or raises `Unavailable`."""


@dataclass(frozen=True)
class Contest:
    """Contenders, and the work that they do.

    Attributes:
        suite: the suite's name.
        rule: the rule's name.
        contenders: for each dtype of parameters, functions that make each contender's step.
        costs: for each dtype, the bytes per element that each contender and the copy move.
        ours: the contenders that are gpuopt.
        check: raises an error unless all compute the same.
        more: a suffix for the names of models.
        notes: remarks on the comparison.
    """

    suite: str
    rule: str
    contenders: Mapping[str, Mapping[str, Make]]
    costs: Mapping[str, Mapping[str, float]]
    ours: Collection[str]
    check: Callable[[Place], None] = lambda place: None
    more: str = ""
    notes: Sequence[str] = ()

    def groups(self, settings: Settings, cold: bool = False) -> Iterator[Group]:
        """Yield a group for each dtype and each model."""
        for dtype in settings.dtypes:
            for model, shapes in settings.models.items():
                name = f"{model}{self.more}"
                place = Place(self.suite, self.rule, dtype, name, settings.device)
                clock = clock_of(settings.device, cold, settings.processor)
                yield self._group(place, shapes, settings.rounds, clock)
                gc.collect()

    def _group(self, place: Place, shapes: Shapes, rounds: int, clock: Clock) -> Group:
        if place.dtype not in self.contenders:
            first, *others = self.contenders.values()
            everywhere = [name for name in first if all(name in own for own in others)]
            why = f"measured only in {' and '.join(self.contenders)}"
            return Group(place, [], {name: why for name in everywhere if name != COPY})
        contenders = self.contenders[place.dtype]
        _, error = attempt(lambda: self.check(place))
        if error:
            return Group(place, [], dict.fromkeys(contenders, error))
        steps, left_out = _steps(contenders, place, shapes)
        failed: dict[str, Exception] = {}
        timings = interleaved(steps, rounds, clock, failed)
        left_out |= {name: failure_text(error) for name, error in failed.items()}
        costs = self.costs[place.dtype]
        moved = {name: f"{name} {costs[name]:g}" for name in timings if name != COPY}
        differ = len({costs[name] for name in moved}) > 1
        notes = [f"bytes an element: {', '.join(moved.values())}"] if differ else []
        lines = [self._line(place, shapes, name, timings) for name in timings]
        return Group(place, lines, left_out, [*self.notes, *notes, *waiting(timings)])

    def _line(self, place: Place, shapes: Shapes, name: str, timings: Mapping[str, Timing]) -> Line:
        costs, timing, count = self.costs[place.dtype], timings[name], elements(shapes)
        copy = timings.get(COPY)
        return Line(
            place,
            name,
            ours=name in self.ours,
            tensors=len(shapes),
            elements=count,
            bytes=round(costs[name] * count),
            gigabytes_per_second=costs[name] * count / timing.median / 1e9,
            of_copy=None if copy is None else timing.ratio(copy) * costs[name] / costs[COPY],
            **timed(name, timings, None, set(self.ours)),
        )


def _steps(
    contenders: Mapping[str, Make], place: Place, shapes: Shapes
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the steps of those that can run here, and why the others cannot."""
    steps: dict[str, Step] = {}
    left_out: dict[str, str] = {}
    for name, make in contenders.items():
        step, error = attempt(lambda make=make: make(place, shapes))
        if error:
            left_out[name] = error
        else:
            steps[name] = step
    return steps, left_out


def copy_of(place: Place, shapes: Shapes) -> Step:
    """Return a step that moves `COPY_BYTES` per element, without computing."""
    if place.device != "cpu":
        from .cuda import copy_step

        return copy_step(COPY_BYTES * elements(shapes), place.device)
    return move_lists(elements(shapes), 4)


def bytes_of(rule: str, dtype: str, options: Mapping[str, Any]) -> float:
    """Return the bytes per element that a step of gpuopt moves, in all its passes.

    >>> bytes_of("adamw", "float32", {}), bytes_of("adamw", "float32", {"state_dtype": "8bit"})
    (28.0, 16.5)
    >>> bytes_of("adam", "float32", {"clip_norm": 1.0}), bytes_of("lamb", "float32", {})
    (32.0, 44.0)
    """
    update, dtypes, tail = _stored(rule, dtype, options)
    measured = STORAGE[dtype].itemsize * tail.measures  # reads only the gradients
    summed = sum(one.bytes_per_element(dtypes) for one in update.in_front)
    return measured + summed + update.bytes_per_element(dtypes)


def kept_bytes_of(rule: str, dtype: str, options: Mapping[str, Any]) -> float:
    """Return the bytes per element of the states, including masters and scales.

    >>> kept_bytes_of("adamw", "float32", {}), kept_bytes_of("adam", "bfloat16", {})
    (8.0, 8.0)
    """
    update, dtypes, _ = _stored(rule, dtype, options)
    return bytes_of_lists(update.blocked, dtypes, range(2, len(dtypes)))


def _stored(rule: str, dtype: str, options: Mapping[str, Any]) -> tuple[Update, list[str], Tail]:
    """Return an update, the dtypes of its lists, and its tail."""
    given = dict(options)
    state_dtype = given.pop("state_dtype", None)
    tail = tail_of(**given)
    update = within(RULES[rule], tail).for_params(dtype)
    stored = update.stored_states(dtype, state_dtype)
    update = update.for_states(stored)
    return update, [dtype, dtype, *update.dtypes_of_lists(stored)], tail
