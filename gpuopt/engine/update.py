"""Compose a rule and the stages around it into one elementwise function, which backends compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType
from typing import Any

from ..kernels.trace.retarget import function_from
from ..rules.formats import FORMATS, stages_of
from ..rules.registry import Rule, Stage
from ..rules.split import JOIN, SPLIT
from ..rules.tail import TAKE_MASTER, ZERO_GRADIENT
from .low_precision import BITS_16, NARROW, rounded_states
from .sums import Sums
from .update_calls import UpdateCalls, bytes_of, lines_of
from .update_coefficients import parameters_of

ELEMENT = "element"
"""Stages' name for the index of an element in its tensor, followed by the stream's number."""

WATCHED = ("gradient", "update", "parameter")
"""The values for statistics."""

BEFORE_ALL = (TAKE_MASTER, *JOIN.values())
"""The stages that replace the parameter by its full-precision weight."""

BEHIND_ALL = tuple(SPLIT.values())
"""The stages after which the parameter has only its stored precision."""


@dataclass(frozen=True, eq=False)
class Update(UpdateCalls):
    """The whole update of one element: ``*written = function(*read, *coefficients)``.

    An 8-bit state has two lists: codes, and the scales of blocks. The function decodes it, and
    returns its new values prepared for `encode_function`, which computes the codes once the largest
    absolute value in each block is known.
    """

    def for_params(self, dtype: str) -> Update:
        """Return the update for parameters of a dtype."""
        if not self.narrow or dtype not in BITS_16:
            return self._with(self.stages, self.after)
        before, after, last = NARROW[self.narrow](dtype)
        stages, behind = (*before, *self.stages), (*after, *self.after, *last)
        return self._with(stages, behind)

    def _with(self, stages: tuple[Stage, ...], after: tuple[Stage, ...]) -> Update:
        return compose(self.rule, stages, after, "", self.watched, instead=self.instead)

    def for_states(self, stored: Mapping[str, str]) -> Update:
        """Return the update that rounds its states to their stored dtypes.

        Args:
            stored: the dtype of each state, or its format, by name.
        """
        changed, untouched = self._replaced, self.rule.states if self.instead else ()
        own = {name: stored[name] if name in changed else "" for name in self.states}
        behind = rounded_states(own)
        formats = {n: stored[n] for n in self.states if stored[n] in FORMATS and n not in untouched}
        decode, prepare, encode = stages_of(formats)
        if not (behind or formats):
            return self
        return compose(
            self.rule,
            (*self.stages, *decode),
            (*self.after, *behind, *prepare),
            self.narrow,
            self.watched,
            encode,
            tuple(formats.items()),
            self.instead,
        )

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The rows that the function reads."""
        known: set[str] = set()
        needed = {"g"} if self.watched else set()
        for _, function, results, _ in self._calls:
            needed |= set(parameters_of(function)) - known
            known |= set(results)
        return tuple(i for i, name in enumerate(self.values) if name in needed)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """The rows that the function writes."""
        replaced = self._replaced
        touched = {"g"} if ZERO_GRADIENT in self.after else set()
        return tuple(
            i for i, n in enumerate(self.values) if n in touched or (n in replaced and n != "g")
        )

    @cached_property
    def _replaced(self) -> frozenset[str]:
        """The values that some function replaces."""
        return frozenset(name for _, _, results, _ in self._calls for name in results)

    @property
    def watched_names(self) -> tuple[str, ...]:
        """The watched values, in the order in which the function returns them."""
        return (*(WATCHED if self.watched else ()), *self._totals_behind)

    @property
    def n_plain(self) -> int:
        """How many of them, the last ones, are summed into totals."""
        return len(self._totals_behind)

    @property
    def wants_sums(self) -> bool:
        """Whether only sums of the watched values are needed: never in an update."""
        return False

    @property
    def wants_counts(self) -> bool:
        """Whether counts of nonfinite values are needed: always in an update."""
        return True

    @cached_property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words that its stages use for rounding.

        For each, the function takes the index of the element in its tensor, after the values:
        ``element`` for stream 0, ``element1`` for stream 1.
        """
        return _streams_of((*self.stages, *self.after))

    @cached_property
    def encode_streams(self) -> tuple[int, ...]:
        """The streams of random words that `encode_function` uses for rounding."""
        return _streams_of(self.encoding)

    @cached_property
    def source(self) -> str:
        """The Python source of the function."""
        values = [self.values[i] for i in self.read]
        body = lines_of(self._calls)
        results = [self.values[i] for i in self.written]
        if self.watched:
            start = sum(stage in BEFORE_ALL for stage in self.stages)
            last = [k for k, stage in enumerate(self.after) if stage in BEHIND_ALL]
            in_front = len(self.stages) + len(self._totalling)
            end = in_front + 1 + last[0] if last else len(body)
            body.insert(end, "new_p = p")
            body.insert(start, "old_p, given_g = p, g")
            results += ["given_g", "new_p - old_p", "new_p"]
        results += self._totals_behind
        counted = [f"{ELEMENT}{stream or ''}" for stream in self.random_streams]
        header = f"def {self.name}({', '.join((*values, *counted, *self.coefficient_names))}):"
        return "\n    ".join((header, *body, f"return ({', '.join(results)},)")) + "\n"

    @cached_property
    def function(self) -> FunctionType:
        """The composed NumPy function."""
        return function_from(self.source, self.name, {"__name__": __name__, **self.callees})

    @cached_property
    def encode_source(self) -> str:
        """The Python source of `encode_function`."""
        body = lines_of(self._encoding_calls)
        states = [name for name, _ in self.formats]
        counted = [f"{ELEMENT}{stream}" for stream in self.encode_streams]
        arguments = (*states, *self.scales, *counted, *self.encode_coefficients)
        header = f"def encode_{self.name}({', '.join(arguments)}):"
        return "\n    ".join((header, *body, f"return ({', '.join(states)},)")) + "\n"

    @cached_property
    def encode_function(self) -> FunctionType | None:
        """The function from prepared states, scales, elements and `encode_coefficients` to codes.

        None if no state has a format.
        """
        if not self.formats:
            return None
        names: dict[str, Any] = {"__name__": __name__}
        names.update((callee, function) for callee, function, *_ in self._encoding_calls)
        return function_from(self.encode_source, f"encode_{self.name}", names)

    @cached_property
    def encode_coefficients(self) -> tuple[str, ...]:
        """The names of the coefficients that `encode_function` takes."""
        names = (name for *_, names in self._encoding_calls for name in names)
        return tuple(dict.fromkeys(names))

    @cached_property
    def sums(self) -> Sums | None:
        """The pass that computes the sums of its rule, if there are any."""
        rule = self.rule
        if not rule.sums or self.instead:
            return None
        return Sums(self, "sums", rule.sums, rule.summed)

    @cached_property
    def totals(self) -> Sums | None:
        """The pass that computes the totals of its rule, if they come first."""
        rule = self.rule
        if not rule.totals_first or self.instead:
            return None
        return Sums(self, "totals", rule.totals, rule.totalled, plain=True)

    @property
    def in_front(self) -> tuple[Sums, ...]:
        """The passes before it."""
        return tuple(one for one in (self.sums, self.totals) if one is not None)

    @property
    def callees(self) -> dict[str, Callable[..., Any]]:
        """The functions that `function` calls, by the names in its source."""
        return {callee: function for callee, function, *_ in self._calls}

    def bytes_per_element(self, dtypes: Sequence[str]) -> float:
        """Return the minimum memory traffic: each list read and written at most once.

        Args:
            dtypes: the dtype of each list.

        >>> from gpuopt.rules.registry import RULES
        >>> compose(RULES["adam"]).bytes_per_element(["float32"] * 4)
        28.0
        """
        written = (*self.written, *(row for _, row in self.blocked))
        return bytes_of(self.blocked, dtypes, (*self.read, *written))


def _streams_of(stages: Sequence[Stage]) -> tuple[int, ...]:
    named = {name for stage in stages for name in stage.values}
    return tuple(sorted(stream_of(name) for name in named if name.startswith(ELEMENT)))


def stream_of(name: str) -> int:
    """Return the stream of random words for a stage's parameter of that name.

    >>> stream_of("element"), stream_of("element2")
    (0, 2)
    """
    return int(name.removeprefix(ELEMENT) or 0)


@cache
def compose(
    rule: Rule,
    stages: tuple[Stage, ...] = (),
    after: tuple[Stage, ...] = (),
    narrow: str = "",
    watched: bool = False,
    encoding: tuple[Stage, ...] = (),
    formats: tuple[tuple[str, str], ...] = (),
    instead: Stage | None = None,
) -> Update:
    """Return the update with these parts; the same object for the same parts."""
    return Update(rule, stages, after, encoding, instead, narrow, watched, formats)
