"""The options of groups, checked wherever they come from: torch's constructors check defaults."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from .. import ranges, scalars
from ..ranges import Range
from ..whole import OF_OPTIMIZERS, check_of_group, how_to_set

Ranges = Mapping[str, tuple[Range, ...]]

RANGES: Ranges = {
    "lr": (ranges.NOT_NEGATIVE,),
    "weight_decay": (ranges.NOT_NEGATIVE,),
    "eps": (ranges.NOT_NEGATIVE,),
    "beta": (ranges.BELOW_ONE,),
    "betas": (ranges.BELOW_ONE, ranges.BELOW_ONE),
    "momentum": (ranges.NOT_NEGATIVE,),
    "dampening": (ranges.ANY,),
    "lr_decay": (ranges.NOT_NEGATIVE,),
    "initial_accumulator_value": (ranges.NOT_NEGATIVE,),
    "rho": (ranges.UP_TO_ONE,),
    "momentum_decay": (ranges.NOT_NEGATIVE,),
    "alpha": (ranges.NOT_NEGATIVE,),
    "lambd": (ranges.ANY,),
    "t0": (ranges.ANY,),
    "etas": (ranges.SHRINKING, ranges.GROWING),
    "step_sizes": (ranges.ANY, ranges.ANY),
}
"""What torch's constructors accept, by option; but some of them accept NaN."""

_ROUNDING = 1e-12
"""Of the initial lr: LinearLR from 1/3 to 0 ends at -5e-17 of it, which is a zero."""

_ALIKE = 0.85
"""Of `difflib`'s ratio, from which on a name is a misspelt option: not max_momentum (0.8)."""


def check_values(group: Mapping[str, Any], names: Iterable[str], accepted: Ranges) -> None:
    """Raise ValueError if an option has a value that the optimizer's constructor would refuse.

    Tensors on a device are not read, and what is no number at all is left to the step.
    """
    for name in names:
        expected = accepted.get(name)
        if expected is None or name not in group:
            continue
        single = len(expected) == 1
        values = [group[name]] if single else group[name]
        if not isinstance(values, Iterable):
            continue
        for i, (one, value) in enumerate(zip(expected, values)):
            number = _known(value)
            if number is not None and not (name == "lr" and _rounded_zero(number, group)):
                one.check(name if single else f"{name}[{i}]", number, value)


def check_changes(
    groups: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    accepted: Ranges,
    before: Sequence[Sequence[Any]],
    now: Sequence[Sequence[Any]],
) -> None:
    """Check the options that have changed.

    Args:
        groups: all groups.
        names: of the options that every group has.
        accepted: what the optimizer's options accept.
        before: the values of the options of each group at the last check, if there was one.
        now: the values now.

    Raises:
        ValueError: a value is not accepted; the message names its group.
    """
    for i, group in enumerate(groups):
        last = before[i] if i < len(before) else ()
        if last == now[i]:
            continue
        changed = [n for n, a, b in zip(names, last, now[i]) if a != b] if last else names
        try:
            check_values(group, changed, accepted)
        except ValueError as error:
            raise ValueError(f"param_groups[{i}]: {error}") from None


def check_names(
    groups: Sequence[Mapping[str, Any]], options: Iterable[str], known: frozenset[str], first: int
) -> frozenset[str]:
    """Look at the names in groups, which may hold what is nobody's option.

    Args:
        groups: the groups.
        options: the names of a group's options.
        known: the names that have been looked at.
        first: the place of the first group among all of the optimizer.

    Returns:
        The names that have been looked at now.

    Raises:
        TypeError: one is an option of the whole optimizer; the message names the group.
    """
    for i, group in enumerate(groups, first):
        new = [name for name in group if name not in known]
        if not new:
            continue
        try:
            check_of_group(new)
        except TypeError as error:
            raise TypeError(f"param_groups[{i}]: {error}") from None
        for name in new:
            _warn_if_misspelt(name, (*options, *OF_OPTIMIZERS))
        known = known.union(new)
    return known


def check_saved(state_dict: Mapping[str, Any], names: Sequence[str], accepted: Ranges) -> None:
    """Check the options of a state dict before it is loaded.

    Raises:
        ValueError: one is not a group's, or has a value that is not accepted.
    """
    for i, group in enumerate(state_dict.get("param_groups", ())):
        foreign = [name for name in group if name in OF_OPTIMIZERS]
        if foreign:
            raise ValueError(f"state_dict: param_groups[{i}]: {how_to_set(foreign[0])}")
        try:
            check_values(group, names, accepted)
        except ValueError as error:
            raise ValueError(f"state_dict: param_groups[{i}]: {error}") from None


def _known(value: Any) -> float | None:
    """Return a number whose value can be known without waiting for a device."""
    if scalars.is_array(value) and not scalars.on_host(value):
        return None
    try:
        return scalars.number_of(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: of several elements
        return None


def _rounded_zero(lr: float, group: Mapping[str, Any]) -> bool:
    """Whether it is below zero for no other reason than a schedule's rounding."""
    initial = _known(group.get("initial_lr"))
    return lr < 0 and initial is not None and -lr <= _ROUNDING * initial


def _warn_if_misspelt(name: Any, options: Sequence[str]) -> None:
    if not isinstance(name, str) or name in options:
        return
    for option in options:
        if _plain(name) == _plain(option) or (
            abs(len(name) - len(option)) <= 1
            and SequenceMatcher(None, name, option).ratio() >= _ALIKE
        ):
            warnings.warn(
                f"{name!r} in a group is no option of the optimizer, and is ignored: "
                f"is {option!r} meant?",
                stacklevel=2,
            )
            return


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
