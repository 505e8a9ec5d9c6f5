"""A rule and the stages around it as one function of an element, which every backend compiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType
from typing import Any

from ..kernels.storage import BLOCK, STORAGE, compute_dtype
from ..kernels.trace.retarget import function_from
from ..rules.formats import (
    FORMATS,
    IN_8_BITS,
    ROOT8,
    SOFTSIGN8,
    is_coded,
    scale_name,
    stages_of,
)
from ..rules.registry import Rule, Stage, State
from ..rules.split import JOIN, SPLIT
from ..rules.tail import TAKE_MASTER, ZERO_GRADIENT
from .low_precision import BITS_16, NARROW, rounded_states
from .update_coefficients import UpdateCoefficients, parameters_of

_Call = tuple[str, Callable[..., Any], tuple[str, ...], tuple[str, ...]]
"""The name of a function, the function, the values that it replaces, and its coefficients."""

ELEMENT = "element"
"""What stages call the index of an element in its tensor; a number behind it is the stream."""

WATCHED = ("gradient", "update", "parameter")
"""The values that statistics are made of."""

BEFORE_ALL = (TAKE_MASTER, *JOIN.values())
"""The stages that replace the parameter by the one that the last step's statistics were of."""

BEHIND_ALL = tuple(SPLIT.values())
"""The stages behind which the parameter is only as it is stored."""


@dataclass(frozen=True, eq=False)
class Update(UpdateCoefficients):
    """The whole update of one element: ``*written = function(*read, *coefficients)``.

    States in a format of 8 bits have two lists each, of codes and of the scales of blocks. The
    function decodes them, and returns what `encode_function` makes the codes of, as soon as the
    largest absolute value in each block is known.

    Attributes:
        narrow: how 16-bit parameters keep what rounding cuts off; one of `NARROW`, or empty.
        watched: whether the function returns behind its results the `WATCHED` values.
        formats: the states that are stored in a format, and the name of each one's.
    """

    narrow: str
    watched: bool
    formats: tuple[tuple[str, str], ...] = ()

    def for_params(self, dtype: str) -> Update:
        """Return the update for parameters of a dtype."""
        if not self.narrow or dtype not in BITS_16:
            return self._with(self.stages, self.after)
        before, after, last = NARROW[self.narrow](dtype)
        stages, behind = (*before, *self.stages), (*after, *self.after, *last)
        return self._with(stages, behind)

    def _with(self, stages: tuple[Stage, ...], after: tuple[Stage, ...]) -> Update:
        return compose(self.rule, stages, after, "", self.watched, instead=self.instead)

    def stored_states(self, params: str, wanted: str | None = None) -> dict[str, str]:
        """Return the dtype of each state.

        Args:
            params: the dtype of the parameters.
            wanted: the dtype of the rule's states, the name of a format, or `IN_8_BITS`; None for
                the dtype that the rule computes in.
        """
        compute = compute_dtype(params)
        rule = {n: self._stored_state(n, compute, wanted) for n in self.rule.states}
        own = {
            name: state.dtype or (params if state.narrow else compute)
            for name, state in self.own_states.items()
        }
        return {**rule, **own}

    def _stored_state(self, name: str, compute: str, wanted: str | None) -> str:
        if wanted is None or name in self.rule.wide:
            return compute
        if is_coded(wanted) and (compute == "float64" or name in self.rule.not_in_8_bits):
            return compute
        if wanted == IN_8_BITS:
            return (ROOT8 if name in self.rule.nonnegative else SOFTSIGN8).name
        return wanted

    def for_states(self, stored: Mapping[str, str]) -> Update:
        """Return the update that rounds its states to the dtypes that they are stored in.

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

    @property
    def name(self) -> str:
        """The names of the rule and its stages."""
        coded = [name for name, _ in self.formats]
        of_codes = {f"{role}_{name}" for role in ("decode", "prepare", "encode") for name in coded}
        names = [stage.name for stage in self._around if stage.name not in of_codes]
        formats = dict.fromkeys(name for _, name in self.formats)
        core = [self.rule.name, *([self.instead.name] if self.instead else [])]
        return "_".join(("update", *core, *names, *["watched"] * self.watched, *formats))

    @property
    def states(self) -> tuple[str, ...]:
        """The states of the rule and its stages."""
        return (*self.rule.states, *self.own_states)

    @cached_property
    def own_states(self) -> dict[str, State]:
        """The states of the stages."""
        found = [stage.state for stage in self._around if stage.state]
        return {state.name: state for state in found}

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of arrays, in the order of the table's rows; the scales come last."""
        return ("params", "grads", *self.states, *self.scales)

    def dtypes_of_lists(self, stored: Mapping[str, str]) -> tuple[str, ...]:
        """Return the dtypes of the lists of states, and of those of scales.

        Args:
            stored: the dtype of each state, or its format, by name.
        """
        of_states = (stored[name] for name in self.states)
        codes = (FORMATS[own].codes if own in FORMATS else own for own in of_states)
        return (*codes, *("float32" for _ in self.scales))

    @cached_property
    def scales(self) -> tuple[str, ...]:
        """The lists of scales."""
        return tuple(scale_name(name) for name, _ in self.formats)

    @cached_property
    def blocked(self) -> tuple[tuple[int, int], ...]:
        """The rows of codes, each with the row of its scales."""
        rows = {name: i for i, name in enumerate(self.values)}
        return tuple((rows[name], rows[scale_name(name)]) for name, _ in self.formats)

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The rows that the function's values come from."""
        known: set[str] = set()
        needed = {"g"} if self.watched else set()
        for _, function, results, _ in self._calls:
            needed |= set(parameters_of(function)) - known
            known |= set(results)
        return tuple(i for i, name in enumerate(self.values) if name in needed)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """The rows that the function's results go to."""
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
        """How many of them, the last ones, are the values that totals are made of."""
        return len(self._totals_behind)

    @property
    def _totals_behind(self) -> tuple[str, ...]:
        """The totals that are made of the update's own pass."""
        return () if self.rule.totals_first or self.instead else self.rule.totals

    @property
    def wants_sums(self) -> bool:
        """Whether only sums and counts of the watched values are needed: never in an update."""
        return False

    @cached_property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words that its stages round by.

        For each, the function takes the index of the element in its tensor, behind the values:
        ``element`` for stream 0, ``element1`` for stream 1.
        """
        return _streams_of((*self.stages, *self.after))

    @cached_property
    def encode_streams(self) -> tuple[int, ...]:
        """The streams of random words that `encode_function` rounds by."""
        return _streams_of(self.encoding)

    @cached_property
    def coefficient_names(self) -> tuple[str, ...]:
        """The coefficients that the function takes; stages that round share theirs."""
        names = (name for *_, names in (*self._calls, *self._encoding_calls) for name in names)
        return tuple(dict.fromkeys(names))

    @property
    def values(self) -> tuple[str, ...]:
        """What the functions call an element of each list."""
        return ("p", "g", *self.states, *self.scales)

    @cached_property
    def _calls(self) -> tuple[_Call, ...]:
        rule, own = self.rule, self.instead
        core = f"apply_{rule.name}", rule.update, rule.results, rule.coefficient_names
        return (
            *map(_call, self._in_front),
            *self._totalling,
            _call(own) if own else core,
            *map(_call, self._behind),
        )

    @property
    def _totalling(self) -> tuple[_Call, ...]:
        """The call that returns what totals are made of; its coefficients are the rule's."""
        names, function = self._totals_behind, self.rule.totalled
        return ((f"total_{self.rule.name}", function, names, ()),) if names and function else ()

    @cached_property
    def _encoding_calls(self) -> tuple[_Call, ...]:
        return tuple(map(_call, self.encoding))

    @cached_property
    def source(self) -> str:
        """The Python text of the function."""
        values = [self.values[i] for i in self.read]
        body = _lines(self._calls)
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
        """The Python text of `encode_function`."""
        body = _lines(self._encoding_calls)
        states = [name for name, _ in self.formats]
        counted = [f"{ELEMENT}{stream}" for stream in self.encode_streams]
        arguments = (*states, *self.scales, *counted, *self.encode_coefficients)
        header = f"def encode_{self.name}({', '.join(arguments)}):"
        return "\n    ".join((header, *body, f"return ({', '.join(states)},)")) + "\n"

    @cached_property
    def encode_function(self) -> FunctionType | None:
        """The function of prepared states, scales, elements and `encode_coefficients` to codes.

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
        """The pass that finds the sums of its rule, if there are any."""
        rule = self.rule
        return Sums(self, "sums", rule.sums, rule.summed) if rule.sums else None

    @cached_property
    def totals(self) -> Sums | None:
        """The pass that finds the totals of its rule, if they come first."""
        rule = self.rule
        first = rule.totals_first
        return Sums(self, "totals", rule.totals, rule.totalled, plain=True) if first else None

    @property
    def callees(self) -> dict[str, Callable[..., Any]]:
        """The functions that `function` calls, by the names in its source."""
        return {callee: function for callee, function, *_ in self._calls}

    def bytes_per_element(self, dtypes: Sequence[str]) -> float:
        """Return the least memory traffic: each list read and written once, if it must be.

        Args:
            dtypes: of each list.

        >>> from gpuopt.rules.registry import RULES
        >>> compose(RULES["adam"]).bytes_per_element(["float32"] * 4)
        28.0
        """
        written = (*self.written, *(row for _, row in self.blocked))
        return bytes_of(self.blocked, dtypes, (*self.read, *written))


def bytes_of(
    blocked: Sequence[tuple[int, int]], dtypes: Sequence[str], rows: Sequence[int]
) -> float:
    """Return the bytes per element of accesses to lists; scales are of blocks.

    Args:
        blocked: the rows of codes, each with the row of its scales.
        dtypes: of each list.
        rows: of the lists, once for each access.
    """
    scales = {row for _, row in blocked}
    return sum(STORAGE[dtypes[row]].itemsize / (BLOCK if row in scales else 1) for row in rows)


class Sums:
    """The pass over a tensor in front of an update that finds sums: it writes nothing.

    It has the lists and the coefficients of the update; its function takes all of these, and
    returns the values of which, or of whose squares, the sums are.

    Attributes:
        watched_names: the names of the sums.
        n_plain: how many of them are not of squares: all or none.
    """

    written = ()
    random_streams = ()
    sums = None
    encode_function = None
    encode_streams = ()
    encode_coefficients = ()
    wants_sums = False
    sums = None
    totals = None

    def __init__(
        self,
        update: Update,
        what: str,
        names: tuple[str, ...],
        function: Callable[..., Any] | None,
        plain: bool = False,
    ) -> None:
        """Take the update, the names of the sums, and the function that returns the values."""
        assert function is not None
        self._update, self._summed = update, function
        self.name = f"{what}_of_{update.name.removeprefix('update_')}"
        self.lists, self.blocked = update.lists, update.blocked
        self.coefficient_names = update.coefficient_names
        self.carried_names, self.option_names = update.carried_names, update.option_names
        self.coefficients_function = update.coefficients_function
        self.watched_names = names
        self.n_plain = len(names) if plain else 0

    @cached_property
    def _needed(self) -> tuple[list[_Call], set[str]]:
        """The calls of stages whose results are used, and the values that all of them take."""
        calls: list[_Call] = []
        needed = set(parameters_of(self._summed))
        for stage in reversed(self._update.stages):
            if needed.intersection(stage.results):
                calls.insert(0, _call(stage))
                needed = needed.difference(stage.results).union(parameters_of(stage.function))
        return calls, needed

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The rows that the function's values come from."""
        _, needed = self._needed
        return tuple(i for i, name in enumerate(self._update.values) if name in needed)

    def bytes_per_element(self, dtypes: Sequence[str]) -> float:
        """Return the least memory traffic: each list that it needs, read once."""
        return bytes_of(self.blocked, dtypes, self.read)

    @cached_property
    def function(self) -> FunctionType:
        """The composed NumPy function."""
        (calls, _), values = self._needed, self._update.values
        body = _lines(calls)
        given = (*(values[i] for i in self.read), *self.coefficient_names)
        header = f"def {self.name}({', '.join(given)}):"
        result = f"return summed({', '.join(parameters_of(self._summed))})"
        names: dict[str, Any] = {callee: function for callee, function, *_ in calls}
        names |= {"__name__": __name__, "summed": self._summed}
        return function_from("\n    ".join((header, *body, result)) + "\n", self.name, names)


def _streams_of(stages: Sequence[Stage]) -> tuple[int, ...]:
    named = {name for stage in stages for name in stage.values}
    return tuple(sorted(stream_of(name) for name in named if name.startswith(ELEMENT)))


def _lines(calls: Sequence[_Call]) -> list[str]:
    """Return the lines of a function that makes these calls, one after the other."""
    return [
        f"{', '.join(results)} = {callee}({', '.join(parameters_of(function))})"
        for callee, function, results, _ in calls
    ]


def _call(stage: Stage) -> _Call:
    return f"apply_{stage.name}", stage.function, stage.results, stage.coefficient_names


def stream_of(name: str) -> int:
    """Return the stream of random words that the name of a stage's parameter stands for.

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
    """Return the update of these parts; the same object for the same parts."""
    return Update(rule, stages, after, encoding, instead, narrow, watched, formats)
