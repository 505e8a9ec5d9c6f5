"""The rules, stages and numbers of all groups, recomputed only for options that changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import is_, itemgetter
from typing import Any

import numpy as np

from ..arrays import scalars
from ..engine.compose import Update, updates_for
from ..engine.groups import Column, Groups
from ..engine.tail import Tail
from ..rules.ranges import NOT_GIVEN
from ..rules.registry import Rule
from .whole import STATE_DTYPE

RATE = "lr"
"""The option on which neither the rule nor a stage depends."""

FACTOR = "grad_factor"

_DEFAULTS = {"maximize": False, "weight_decay": 0.0}
"""The values for a group without these options."""

_NUMBERS = frozenset({float, int, bool, np.float64, np.float32})
_CONSTANT = _NUMBERS | {type(None), str}
"""The types of values that are immutable."""

_Values = Sequence[Any]
"""An option's value in each group."""


class Plan:
    """The options of all groups at the last step, and the `Groups` made from them.

    A value that is the same object as at the last step has not changed. If an option has changed
    in any group, its numbers are read again for all groups; other options keep theirs.

    Attributes:
        rules: the rule of each group.
        groups: the `Groups` of the last step.
        live: for each option with a mutable value, what `seen` returned for its values.
    """

    def __init__(
        self,
        names: Sequence[str],
        parts: Mapping[str, tuple[str, ...]],
        rule_of: Callable[[Mapping[str, Any]], Rule],
        numbers_of: Callable[[str, _Values], Column],
        tail: Tail,
        state_dtype: str | None,
        check_present: Callable[[], None] = lambda: None,
        check_changed: Callable[[Sequence[str]], None] = lambda names: None,
        others: Sequence[str] = (),
        optional: Collection[str] = (),
    ) -> None:
        """Make an empty plan.

        Args:
            names: the options that a step depends on.
            parts: for each option, the rules' hyperparameters that it sets.
            rule_of: returns the rule for a group's options; must not depend on lr.
            numbers_of: returns the values of a hyperparameter, one for each group, as numbers.
            tail: the tail of the optimizer.
            state_dtype: the dtype of states; a group's own, if it is among ``others``, overrides
                it.
            check_present: raises if a group lacks an option that a step reads.
            check_changed: raises if a changed option is not accepted.
            others: options that only some groups have; all but ``state_dtype`` are only checked.
            optional: numeric options that may be None, which is read as `NOT_GIVEN`.
        """
        self._absent: dict[str, Any] = {n: v for n, v in _DEFAULTS.items() if n not in names}
        self._absent.update(dict.fromkeys(others), **{STATE_DTYPE: state_dtype})
        names = tuple(dict.fromkeys((*names, *_DEFAULTS, *others)))
        self._gives = {name: parts.get(name, (name,)) for name in names}
        self._rule_of, self._numbers_of = rule_of, numbers_of
        self._check_present, self._check_changed = check_present, check_changed
        self._tail, self._state_dtype, self._optional = tail, state_dtype, optional
        self._values_of = itemgetter(*names)  # returns a tuple: with the defaults there are several
        self._rows: list[tuple[Any, ...]] = []
        self._values: dict[str, _Values] = {}
        self._numbers: dict[str, Column] = {}
        self._tensors: dict[str, _Values] = {}
        self._used: frozenset[str] = frozenset()
        self._tail_numbers = tail.numbers()
        self._factor: Any = None
        self._factor_seen: Any = None
        self.rules: list[Rule] = []
        self.groups: Groups | None = None
        self.live: dict[str, _Values] = {}

    def take(self, options: Sequence[Mapping[str, Any]], factor: Any) -> Groups:
        """Return the rules and numbers of each group; the same object while no option changes.

        Args:
            options: the options of each group.
            factor: the factor of the gradients: a number, or a tensor on a device.

        Raises:
            TypeError, ValueError: an option is not accepted; the next step checks it again.
        """
        rows = self._read(options)
        groups, factor_seen = self.groups, seen(factor)
        known = factor_seen == self._factor_seen
        if groups is not None and known and not self.live and self._has_rows(rows):
            return groups
        values: dict[str, _Values] = dict(zip(self._gives, zip(*rows)))
        changed = [name for name, column in values.items() if self._differs(name, column)]
        if changed and groups is not None:
            self._check_changed(changed)
        if groups is None or not known or changed:
            groups = self._new(options, values, changed, factor)
            self._factor, self._factor_seen = factor, factor_seen  # kept: its id stays unique
        self._rows, self._values = rows, values
        return groups

    def _read(self, options: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Return the option values of each group, in the order of the names."""
        try:
            return list(map(self._values_of, options))
        except KeyError:
            names = self._gives
            if any(names.keys() - self._absent.keys() - own.keys() for own in options):
                self._check_present()
            absent = {**_DEFAULTS, **self._absent}
            return [tuple(own.get(n, absent.get(n)) for n in names) for own in options]

    def _has_rows(self, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Whether these values are the same objects as at the last step."""
        pairs = map(is_, chain.from_iterable(rows), chain.from_iterable(self._rows))
        return len(rows) == len(self._rows) and all(pairs)

    def _differs(self, name: str, column: _Values) -> bool:
        """Whether an option has another value in some group than at the last step."""
        known = self._values.get(name, ())
        if len(known) == len(column) and all(map(is_, column, known)):
            return name in self.live and list(map(seen, column)) != self.live[name]
        return name in self.live or _is_live(column) or column != known

    def _given(self, name: str, column: _Values) -> _Values:
        """Return the values of an option, with a number in place of None if it may be None."""
        if name not in self._optional:
            return column
        return [NOT_GIVEN if value is None else value for value in column]

    def _new(
        self,
        options: Sequence[Mapping[str, Any]],
        values: Mapping[str, _Values],
        changed: Sequence[str],
        factor: Any,
    ) -> Groups:
        """Return groups with the changed columns; an error leaves the plan unchanged."""
        others = self.groups is None or any(name != RATE for name in changed)
        rules = [self._rule_of(group) for group in options] if others else self.rules
        used = _used_by(rules) if others else self._used
        live = self._live_now(values, changed)
        numbers, tensors = self._read_numbers(values, changed, used, live)
        if any(rule.shared for rule in rules):  # a tensor on a device counts as 0
            _check_rates(numbers[RATE])
        self.groups = groups = self._grouped(rules, values, numbers, tensors, factor, others)
        self.rules, self.live, self._used = rules, live, used
        self._numbers, self._tensors = numbers, tensors
        return groups

    def _live_now(
        self, values: Mapping[str, _Values], changed: Sequence[str]
    ) -> dict[str, _Values]:
        """Return `live` with the changed options."""
        live = {name: own for name, own in self.live.items() if name not in changed}
        for name in changed:
            if _is_live(values[name]):
                live[name] = list(map(seen, values[name]))
        return live

    def _read_numbers(
        self,
        values: Mapping[str, _Values],
        changed: Sequence[str],
        used: frozenset[str],
        live: Collection[str],
    ) -> tuple[dict[str, Column], dict[str, _Values]]:
        """Return the numbers of all hyperparameters that are used, and the arrays behind them."""
        stale = {part for name in changed for part in self._gives[name]}
        numbers = {part: own for part, own in self._numbers.items() if part not in stale}
        tensors = {part: own for part, own in self._tensors.items() if part not in stale}
        for name, parts in self._gives.items():
            if all(part in numbers or part not in used for part in parts):
                continue
            known = self._given(name, values[name])
            for part, column in zip(parts, _split(name, len(parts), known)):
                numbers[part] = self._numbers_of(part, column)
                if name in live and any(map(scalars.is_array, column)):
                    tensors[part] = column
        return numbers, tensors

    def _grouped(
        self,
        rules: Sequence[Rule],
        values: Mapping[str, _Values],
        numbers: dict[str, Column],
        tensors: Mapping[str, _Values],
        factor: Any,
        others: bool,
    ) -> Groups:
        """Return the groups of a step; ``others``: whether more than learning rates changed."""
        before = self.groups
        common = {**self._tail_numbers, FACTOR: scalars.number_of(factor)}
        updates: Sequence[Update] = before.updates if before else ()
        if others or before is None or common[FACTOR] != before.common[FACTOR]:
            updates = updates_for(rules, numbers, common[FACTOR], self._tail, updates)
        followed = dict(tensors)
        if scalars.is_array(factor):
            followed[FACTOR] = [factor] * len(rules)
        dtypes = values.get(STATE_DTYPE, (self._state_dtype,) * len(rules))
        return Groups(updates, dtypes, numbers, common, followed, before)


def as_floats(column: Sequence[Any]) -> list[float] | None:
    """Return numbers as floats, or None if one is not a plain number."""
    if not _NUMBERS.issuperset(map(type, column)):
        return None
    try:
        return list(map(float, column))
    except OverflowError:  # an int beyond the largest float
        return None


def _check_rates(rates: Column) -> None:
    """Raise ValueError unless groups that share a learning rate estimate have one lr, or 0."""
    different = sorted({rate for rate in rates if rate})
    if len(different) > 1:
        raise ValueError(
            f"lr: expected one value in all groups, besides 0, as they share d; got {different}"
        )


def _used_by(rules: Sequence[Rule]) -> frozenset[str]:
    """Return the hyperparameters that some rules and their stages use."""
    of_rules = {n for r in set(rules) for n in (*r.hyperparameters, *r.initial.values())}
    return frozenset(of_rules.union(_DEFAULTS))


def _split(name: str, count: int, column: _Values) -> list[_Values]:
    """Return the columns of an option: its own, or one for each number of a pair.

    Raises:
        ValueError: a value is not a pair.
    """
    if count == 1:
        return [column]
    pairs = [tuple(value) if isinstance(value, Iterable) else () for value in column]
    for pair, value in zip(pairs, column):
        if len(pair) != count:
            raise ValueError(f"{name}: expected {count} numbers, got {value!r}")
    return [list(part) for part in zip(*pairs)]


def _is_live(column: _Values) -> bool:
    """Whether a value is mutable, and may change while it stays the same object."""
    types = set(map(type, column))
    if types == {tuple}:
        types = set(map(type, chain.from_iterable(column)))
    return not types <= _CONSTANT


def seen(value: Any) -> Any:
    """Return something that compares unequal if an option's value has changed.

    That is the value of a number or of a tensor on the host, and the id of any other array.
    """
    if type(value) is float:  # most are
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(seen, value))
    if not scalars.is_array(value):
        return value
    known = scalars.on_host(value) and value.numel() == 1
    return (id(value), scalars.value_of(value)) if known else id(value)
