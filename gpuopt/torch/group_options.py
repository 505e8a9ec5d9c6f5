"""Checks of groups' options, wherever they are set: torch's constructors only check defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from ..arrays import scalars
from ..messages.warn import warn
from ..optimizers.options import checked_state_dtype
from ..optimizers.whole import OF_OPTIMIZERS, STATE_DTYPE, how_to_set
from ..rules.definitions import Definition
from ..rules.ranges import FINITE, NOT_NEGATIVE, SMOOTHING, Range

Ranges = Mapping[str, tuple[Range, ...]]
Whole = Sequence[Mapping[str, Any]]
"""The whole optimizer's options that a group may repeat: current values, and initial ones."""


@cache
def torch_ranges(definition: Definition) -> Ranges:
    """Return the range of each option in torch's constructors, which may also accept NaN."""
    # An infinite learning rate or an alpha above 1, say, are errors over plain arrays alone.
    wider = {FINITE: NOT_NEGATIVE, SMOOTHING: NOT_NEGATIVE}
    return {
        option.name: tuple(wider.get(r, r) for r in option.ranges)
        for option in definition.options
        if option.ranges
    }


_ROUNDING = 1e-12
"""Relative to the initial lr: LinearLR from 1/3 to 0 ends at -5e-17 of it, which means zero."""

_ALIKE = 0.85
"""The `difflib` ratio from which a name counts as misspelt; max_momentum has 0.8."""


def check_group(
    place: int | None,
    group: Mapping[str, Any],
    names: Iterable[str],
    accepted: Ranges,
    whole: Whole,
) -> None:
    """Check options of a group.

    Args:
        place: the group's index; None for the defaults.
        group: its options.
        names: the options to check.
        accepted: the ranges of the optimizer's options.
        whole: see `Whole`.

    Raises:
        ValueError: a value is not accepted; the message names the group.
    """
    for name in names:
        if name not in group:
            continue
        try:
            if name in OF_OPTIMIZERS:
                _check_repeated(name, group[name], whole)
            elif name == STATE_DTYPE:
                _check_state_dtype(group)
            elif name in accepted:
                _check_value(name, group, accepted[name])
        except ValueError as error:
            where = "" if place is None else f"param_groups[{place}]: "
            raise ValueError(f"{where}{error}") from None


def check_changed(
    groups: Sequence[Mapping[str, Any]], names: Iterable[str], accepted: Ranges, whole: Whole
) -> None:
    """Check options that have changed in some of the groups, as `check_group` does."""
    for name in names:
        expected = accepted.get(name, ())
        column: list[Any] = [group.get(name) for group in groups]
        floats = len(expected) == 1 and set(map(type, column)) == {float}
        if floats and all(map(expected[0].accepts, column)):
            continue  # a fast path for schedules, which write into hundreds of groups
        for place, group in enumerate(groups):
            check_group(place, group, [name], accepted, whole)


def names_in(
    groups: Iterable[Mapping[str, Any]], options: Iterable[str], known: frozenset[str]
) -> frozenset[str]:
    """Return the names in groups, and warn of misspelt options.

    Args:
        groups: the groups.
        options: the names of a group's options.
        known: the names that have been checked before; they are returned, too.
    """
    for group in groups:
        for name in [name for name in group if name not in known]:
            _warn_if_misspelt(name, (*options, *OF_OPTIMIZERS, STATE_DTYPE))
            known |= {name}
    return known


def _same(value: Any, own: Any) -> bool:
    return value is own or (isinstance(value, (bool, float, int, str)) and bool(value == own))


def _check_value(name: str, group: Mapping[str, Any], expected: tuple[Range, ...]) -> None:
    """Check an option; values that are not numbers are left to the step."""
    single = len(expected) == 1
    values = [group[name]] if single else group[name]
    if not (single or isinstance(values, Iterable)):
        return
    for i, (one, value) in enumerate(zip(expected, values)):
        number = _known(value)
        if number is None or one.accepts(number) or _is_rounded_zero(name, number, group):
            continue
        one.check(name if single else f"{name}[{i}]", number, value)


def _check_repeated(name: str, value: Any, whole: Whole) -> None:
    """Check that a group's value equals the whole optimizer's.

    ZeroRedundancyOptimizer copies all constructor arguments into the groups, at each step.
    """
    if not any(_same(value, own[name]) for own in whole):
        raise ValueError(f"{how_to_set(name)}; it has {whole[0][name]!r}, got {value!r:.80}")


def _check_state_dtype(group: Mapping[str, Any]) -> None:
    checked_for(checked_state_dtype(group[STATE_DTYPE]), group["params"])


def checked_for(state_dtype: str | None, params: Iterable[Any]) -> str | None:
    """Return the dtype of the states of some parameters.

    Raises:
        ValueError: a parameter is complex, and torch has no complex numbers of that dtype.
    """
    if state_dtype == "bfloat16" and any(map(_is_complex, params)):
        raise ValueError("state_dtype: expected another than 'bfloat16' for complex parameters")
    return state_dtype


def _is_complex(param: Any) -> bool:
    return getattr(param, "is_complex", bool)()  # in a state dict, an index


def _known(value: Any) -> float | None:
    """Return a number if its value can be read without synchronizing."""
    if type(value) is float:  # a fast path for schedules, which write into hundreds of groups
        return value
    if scalars.is_array(value) and not scalars.on_host(value):
        return None
    try:
        return scalars.number_of(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: of several elements
        return None


def _is_rounded_zero(name: str, number: float, group: Mapping[str, Any]) -> bool:
    """Whether it is an lr that is negative only because of a schedule's rounding."""
    initial = _known(group.get("initial_lr")) if name == "lr" else None
    return initial is not None and -_ROUNDING * initial <= number < 0


def _warn_if_misspelt(name: Any, options: Sequence[str]) -> None:
    if not isinstance(name, str) or name in options:
        return
    for option in options:
        if _plain(name) == _plain(option) or (
            abs(len(name) - len(option)) <= 1
            and SequenceMatcher(None, name, option).ratio() >= _ALIKE
        ):
            warn(
                f"{name!r} in a group is no option of the optimizer, and is ignored: "
                f"is {option!r} meant?",
                UserWarning,
            )
            return


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
