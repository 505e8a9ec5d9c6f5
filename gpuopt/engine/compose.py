"""One function from a rule and the stages in front of it: what every backend compiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import compress
from types import FunctionType
from typing import Any

from ..kernels.storage import STORAGE, compute_dtype
from ..kernels.trace.retarget import function_from
from ..rules.registry import Rule, Stage, State
from ..rules.stages import DECOUPLED_DECAY, L2_DECAY, SCALE_GRADIENT
from ..rules.tail import CLIP_GRADIENT, CLIP_VALUE, EMA, TAKE_MASTER, ZERO_GRADIENT
from .low_precision import BITS_16, NARROW, rounded_states
from .tail import Tail

NO_TAIL = Tail()

Call = tuple[str, Callable[..., Any], tuple[str, ...], tuple[str, ...]]
"""What is called, its function, the values that it replaces, its coefficients."""


@dataclass(frozen=True, eq=False)
class Update:
    """The whole update of one element: ``*written = function(*read, *coefficients)``.

    Attributes:
        rule: the rule at its heart.
        stages: what runs in front of it, in order.
        after: what runs behind it.
        narrow: how parameters of 16 bits keep what those cannot hold; one of `NARROW`.
        watched: whether the function returns behind its results what statistics are made of:
            the gradient, the change of the parameter, and the parameter.
    """

    rule: Rule
    stages: tuple[Stage, ...]
    after: tuple[Stage, ...]
    narrow: str
    watched: bool

    def for_params(self, dtype: str) -> Update:
        """Return the update that parameters of a dtype get."""
        if not self.narrow or dtype not in BITS_16:
            return compose(self.rule, self.stages, self.after, "", self.watched)
        before, after = NARROW[self.narrow](dtype)
        stages, behind = (*before, *self.stages), (*after, *self.after)
        return compose(self.rule, stages, behind, "", self.watched)

    def stored_states(self, params: str, wanted: str | None = None) -> dict[str, str]:
        """Return the dtype that each state is made in.

        Args:
            params: the dtype of the parameters.
            wanted: of the rule's states, or None for the dtype that the rule computes in.
        """
        compute = compute_dtype(params)
        rule = {n: compute if n in self.rule.wide else wanted or compute for n in self.rule.states}
        own = {n: params if state.narrow else compute for n, state in self.own_states.items()}
        return {**rule, **own}

    def for_states(self, stored: Mapping[str, str]) -> Update:
        """Return the update that rounds its states to the dtypes that they are stored in.

        Args:
            stored: the dtype of each state, by name.
        """
        behind = rounded_states({name: stored[name] for name in self.states})
        if not behind:
            return self
        return compose(self.rule, self.stages, (*self.after, *behind), self.narrow, self.watched)

    @property
    def name(self) -> str:
        """The rule's name and its stages'."""
        names = [stage.name for stage in self._around]
        return "_".join(("update", self.rule.name, *names, *["watched"] * self.watched))

    @property
    def _around(self) -> tuple[Stage, ...]:
        return (*self.stages, *self.after)

    @property
    def states(self) -> tuple[str, ...]:
        """The rule's states and its stages'."""
        return (*self.rule.states, *self.own_states)

    @cached_property
    def own_states(self) -> dict[str, State]:
        """The states of the stages."""
        found = [stage.state for stage in self._around if stage.state]
        return {state.name: state for state in found}

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of arrays that the table has a row for, in the function's order."""
        return ("params", "grads", *self.states)

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The rows that the function's values come from."""
        known: set[str] = set()
        needed = {"g"} if self.watched else set()
        for _, function, results, _ in self._calls:
            needed |= set(_parameters(function)) - known
            known |= set(results)
        return tuple(i for i, name in enumerate(self._values) if name in needed)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """The rows that the function's results go to."""
        replaced = {name for _, _, results, _ in self._calls for name in results}
        touched = {"g"} if ZERO_GRADIENT in self.after else set()
        return tuple(
            i for i, n in enumerate(self._values) if n in touched or (n in replaced and n != "g")
        )

    @property
    def watched_names(self) -> tuple[str, ...]:
        """What statistics are made of, in the order in which the function returns it."""
        return WATCHED if self.watched else ()

    @property
    def wants_sums(self) -> bool:
        """Whether of what is watched only the sums matter."""
        return False

    @cached_property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words that its stages round by.

        For each of them the function takes, behind the values, where the element stands in its
        tensor: ``element`` for stream 0, ``element1`` for stream 1.
        """
        named = {name for stage in self._around for name in stage.values}
        return tuple(sorted(stream_of(name) for name in named if name.startswith(ELEMENT)))

    @cached_property
    def coefficient_names(self) -> tuple[str, ...]:
        """The function's parameters after the values; stages that round share theirs."""
        return tuple(dict.fromkeys(name for *_, names in self._calls for name in names))

    @property
    def _values(self) -> tuple[str, ...]:
        return ("p", "g", *self.states)

    @cached_property
    def _calls(self) -> tuple[Call, ...]:
        rule = self.rule
        results = ("p", *rule.states)
        return (
            *map(_call, self.stages),
            (f"apply_{rule.name}", rule.update, results, rule.coefficient_names),
            *map(_call, self.after),
        )

    @cached_property
    def source(self) -> str:
        """The Python text of the function."""
        values = [self._values[i] for i in self.read]
        body = [
            f"{', '.join(results)} = {callee}({', '.join(_parameters(function))})"
            for callee, function, results, _ in self._calls
        ]
        results = [self._values[i] for i in self.written]
        if self.watched:
            start = sum(stage in BEFORE_ALL for stage in self.stages)
            body.insert(start, "old_p, given_g = p, g")
            results += ["given_g", "p - old_p", "p"]
        counted = [f"{ELEMENT}{stream or ''}" for stream in self.random_streams]
        header = f"def {self.name}({', '.join((*values, *counted, *self.coefficient_names))}):"
        return "\n    ".join((header, *body, f"return ({', '.join(results)},)")) + "\n"

    @cached_property
    def function(self) -> FunctionType:
        """The composed NumPy function."""
        return function_from(self.source, self.name, {"__name__": __name__, **self.callees})

    @property
    def callees(self) -> dict[str, Callable[..., Any]]:
        """What the function calls, by the names in `source`."""
        return {callee: function for callee, function, *_ in self._calls}

    @property
    def carried_names(self) -> tuple[str, ...]:
        """The numbers that each tensor carries from step to step."""
        return (*self.rule.carried, *self._constant)

    @cached_property
    def _constant(self) -> tuple[str, ...]:
        """Those of them that stay as they are."""
        return tuple(dict.fromkeys(name for stage in self._around for name in stage.carried))

    @cached_property
    def option_names(self) -> tuple[str, ...]:
        """The numbers that the coefficients are computed from, beside the step and those."""
        given = {"step", *self._constant}
        own = [
            name
            for stage in self._around
            if stage.coefficients
            for name in _parameters(stage.coefficients)
        ]
        names = dict.fromkeys((*own, *self.rule.hyperparameters))
        return tuple(name for name in names if name not in given)

    @cached_property
    def coefficients_source(self) -> str:
        """The Python text of `coefficients_function`."""
        body: list[str] = []
        results: list[str] = []
        carried: list[str] = []
        for callee, function, names in self._coefficient_calls:
            n = len(results) + len(carried)
            own = [f"c{n + i}" for i in range(len(names))]
            body.append(f"({', '.join(own)},) = {callee}({', '.join(_parameters(function))})")
            of_rule = len(self.rule.coefficient_names) if callee == "of_rule" else len(own)
            results, carried = results + own[:of_rule], carried + own[of_rule:]
        returned = (*results, *carried, *self._constant)
        parameters = ", ".join(("step", *self.carried_names, *self.option_names))
        header = f"def coefficients({parameters}):"
        return "\n    ".join((header, *body, f"return ({', '.join(returned)},)")) + "\n"

    @property
    def _coefficient_calls(self) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
        known: set[str] = set()

        def of(stages: Sequence[Stage]) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
            calls = []
            for stage in stages:
                if stage.coefficients and not known.issuperset(stage.coefficient_names):
                    calls.append((f"of_{stage.name}", stage.coefficients, stage.coefficient_names))
                known.update(stage.coefficient_names)
            return calls

        names = (*self.rule.coefficient_names, *self.rule.carried)
        return [*of(self.stages), ("of_rule", self.rule.coefficients, names), *of(self.after)]

    @cached_property
    def coefficients_function(self) -> FunctionType:
        """The composed function of a step, what is carried, and options.

        It returns one tensor's coefficients, and behind them what is carried on.
        """
        names = {"__name__": __name__, **self.coefficient_callees}
        return function_from(self.coefficients_source, "coefficients", names)

    @property
    def coefficient_callees(self) -> dict[str, Callable[..., Any]]:
        """What `coefficients_function` calls, by the names in `coefficients_source`."""
        return {callee: function for callee, function, _ in self._coefficient_calls}

    def coefficients(
        self, step: int, options: Mapping[str, float], carried: Sequence[float] = ()
    ) -> tuple[float, ...]:
        """Return the coefficients of one tensor, in float64, and behind them what it carries on.

        Args:
            step: how many updates the tensor will have had after this one (1 for the first).
            options: the hyperparameters of the rule and of the stages, by name.
            carried: what its last step carried on; without it, where that starts.
        """
        numbers = carried if len(carried) else self.carried_at_first(options)
        given = (options[name] for name in self.option_names)
        values = self.coefficients_function(step, *numbers, *given)
        return tuple(float(value) for value in values)

    def carried_at_first(self, options: Mapping[str, float], tensor: int = 0) -> tuple[float, ...]:
        """Return what a tensor carries to its first step; ``tensor`` is its place."""
        starts = self.rule.carried.values()
        of_rule = (options[x] if isinstance(x, str) else x for x in starts)
        starts_of = {n: start for stage in self._around for n, start in stage.carried.items()}
        return (*of_rule, *(starts_of[name](options, tensor) for name in self._constant))

    def bytes_per_element(self, dtypes: Sequence[str]) -> int:
        """Return the floor of memory traffic: read and write once what must be.

        Args:
            dtypes: of each list.

        >>> from gpuopt.rules.registry import RULES
        >>> compose(RULES["adam"]).bytes_per_element(["float32"] * 4)
        28
        """
        rows = (*self.read, *self.written)
        return sum(STORAGE[dtypes[row]].itemsize for row in rows)


def _call(stage: Stage) -> Call:
    return f"apply_{stage.name}", stage.function, stage.results, stage.coefficient_names


ELEMENT = "element"
"""What stages call the place of an element in its tensor; behind it the number of the stream."""


def stream_of(name: str) -> int:
    """Return the stream of random words that a parameter of a stage stands for.

    >>> stream_of("element"), stream_of("element2")
    (0, 2)
    """
    return int(name.removeprefix(ELEMENT) or 0)


WATCHED = ("gradient", "update", "parameter")
"""What statistics are made of."""

BEFORE_ALL = (TAKE_MASTER,)
"""The stages that make the parameter what the last step's statistics called it."""


@cache
def compose(
    rule: Rule,
    stages: tuple[Stage, ...] = (),
    after: tuple[Stage, ...] = (),
    narrow: str = "",
    watched: bool = False,
) -> Update:
    """Return an update of these parts; the same object for the same parts."""
    return Update(rule, stages, after, narrow, watched)


def stages_for(
    rule: Rule, options: Sequence[Mapping[str, float]], tail: Tail = NO_TAIL
) -> tuple[Stage, ...]:
    """Return the stages that groups of one rule need: none that would multiply by one.

    Args:
        rule: decides whether decay is decoupled.
        options: the hyperparameters of each group.
        tail: what surrounds the update.
    """
    stages: list[Stage] = []
    if tail.clip_norm is not None:
        stages.append(CLIP_GRADIENT)
    elif any(o["maximize"] or o["grad_factor"] != 1.0 for o in options):
        stages.append(SCALE_GRADIENT)
    if tail.clip_value is not None:
        stages.append(CLIP_VALUE)
    if any(o["weight_decay"] for o in options):
        stages.append(DECOUPLED_DECAY if rule.decoupled else L2_DECAY)
    return tuple(stages)


def updates_for(
    rules: Sequence[Rule],
    options: Mapping[str, Sequence[float]],
    grad_factor: float = 1.0,
    tail: Tail = NO_TAIL,
) -> list[Update]:
    """Return the update of each group: groups of one rule share one, with all their stages.

    Args:
        rules: of each group.
        options: by name, ``maximize`` and ``weight_decay`` of each group.
        grad_factor: what all gradients are multiplied by.
        tail: what surrounds the update.
    """
    updates: dict[Rule, Update] = {}
    for rule in dict.fromkeys(rules):
        theirs = [other is rule for other in rules]
        used = {n: any(compress(options[n], theirs)) for n in ("maximize", "weight_decay")}
        stages = stages_for(rule, [{**used, "grad_factor": grad_factor}], tail)
        updates[rule] = within(rule, tail, stages)
    return [updates[rule] for rule in rules]


def within(rule: Rule, tail: Tail, stages: tuple[Stage, ...] = ()) -> Update:
    """Return the update of a rule behind ``stages``, with all that its tail puts around it."""
    after = (EMA,) * (tail.ema_decay is not None) + (ZERO_GRADIENT,) * tail.zero_grads
    return compose(rule, stages, after, tail.narrow, tail.stats)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]
