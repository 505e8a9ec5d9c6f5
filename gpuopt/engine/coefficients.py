"""The coefficients of a table on the host: few rows by Python's numbers, many as columns.

Both give the same bits: each operation that coefficients are made of is exactly rounded, and the
powers of columns go by the squarings and roots that those of numbers go by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.trace.retarget import retarget
from ..rules.powers import power, real_power
from .groups import Groups
from .table import Table
from .update import Update

FEW = 3
"""Rows up to which a call of Python for each is no slower: columns of many step counts are."""

_Doubles = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class Coefficients:
    """What fills the coefficients of one table, and brings on what its tensors carry."""

    def __init__(self, table: Table, group_of: _Integers) -> None:
        """Take a table, and the group of each of its tensors."""
        self._table, self._group_of = table, group_of
        found = np.unique(group_of, return_index=True, return_inverse=True)
        self._first_of_groups, self._groups_used = found[1], found[2]
        self._only_group = int(group_of[0])

    def fill(self, counts: _Integers, groups: Groups) -> None:
        """Compute the coefficients once for each group, step count and what is carried.

        They are rounded once, here; what the tensors that have a gradient carry is brought on.

        Args:
            counts: the step that each tensor takes now.
            groups: what each group wants.
        """
        table = self._table
        first, row_of = self._distinct(counts)
        if len(first) == 1 and not table.carried.size:
            options = groups[self._only_group].options
            with np.errstate(all="ignore"):
                table.coefficients[...] = table.update.coefficients(int(counts[0]), options)
            return
        kinds = self._group_of[first], counts[first], table.carried[first]
        with np.errstate(all="ignore"):  # inf and NaN are results, as everywhere
            found = (one_by_one if len(first) <= FEW else together)(table.update, groups, *kinds)
            rows = found if len(found) == 1 else found[row_of]
            n = table.coefficients.shape[1]
            table.coefficients[...] = rows[:, :n]
        if table.carried.size:
            active = table.addresses[1:2].T != 0
            table.carried[...] = np.where(active, rows[:, n:], table.carried)

    def _distinct(self, counts: _Integers) -> tuple[Any, Any]:
        """Return one tensor of each kind, and the kind of each tensor."""
        carried = self._table.carried.view(np.int64).T  # by bits: a NaN equals itself
        different = [column for column in (counts, *carried) if (column != column[0]).any()]
        if not different:
            return self._first_of_groups, self._groups_used
        kinds = self._groups_used
        for column in different:
            numbers = np.unique(column, return_inverse=True)[1]
            kinds = np.unique(kinds * len(counts) + numbers, return_inverse=True)[1]
        return np.unique(kinds, return_index=True, return_inverse=True)[1:]


def one_by_one(
    update: Update, groups: Groups, of: _Integers, steps: _Integers, carried: _Doubles
) -> _Doubles:
    """Return rows of coefficients, and behind them what is carried on.

    Args:
        update: whose coefficients.
        groups: which have the options.
        of: the group of each row.
        steps: of each row.
        carried: what each row's last step carried on.
    """
    kinds = zip(of.tolist(), steps.tolist(), carried.tolist())
    return np.array([update.coefficients(t, groups[i].options, own) for i, t, own in kinds])


def together(
    update: Update, groups: Groups, of: _Integers, steps: _Integers, carried: _Doubles
) -> _Doubles:
    """Return what `one_by_one` does, column by column; what all groups share is one number."""
    step = int(steps[0]) if (steps == steps[0]).all() else steps
    columns = map(groups.column, update.option_names)
    options = [column[of] if isinstance(column, np.ndarray) else column for column in columns]
    values = _of_columns(update)(step, *carried.T, *options)
    rows = np.empty((len(of), len(values)))
    for k, value in enumerate(values):
        rows[:, k] = value
    return rows


@cache
def _of_columns(update: Update) -> Callable[..., tuple[Any, ...]]:
    """Return the function of an update's coefficients for arrays."""
    # No plain functions: `retarget` would look for other powers inside them.
    names = {"power": partial(powers), "real_power": partial(real_powers)}
    scalars: Any = update.coefficients_function  # no bound method, as mypy has it
    function: Callable[..., tuple[Any, ...]] = retarget(scalars, np, extra_globals=names)
    return function


# --- powers ---------------------------------------------------------------------------------------


def powers(base: Any, exponent: Any) -> Any:
    """Return `power` of each element.

    >>> powers(np.array([0.5, 3.0]), np.array([3, 1])).tolist()
    [0.125, 3.0]
    """
    if not isinstance(exponent, np.ndarray):
        return power(base, exponent)  # whose squarings are the same of a whole array
    result = np.ones(np.broadcast(base, exponent).shape)
    while (exponent > 0).any():
        taken = (exponent > 0) & (exponent & 1 == 1)
        result = np.where(taken, result * base, result)
        base = base * base
        exponent = exponent >> 1
    return result


def real_powers(base: Any, exponent: Any) -> Any:
    """Return `real_power` of each element, by the same squarings and roots.

    >>> real_powers(np.array([16.0, 4.0]), np.array([0.75, -1.5])).tolist()
    [8.0, 0.125]
    """
    if not isinstance(base, np.ndarray) and not isinstance(exponent, np.ndarray):
        return real_power(base, exponent)
    base, exponent = np.broadcast_arrays(base, exponent)
    base, unknown = base.astype(np.float64), np.isnan(exponent)
    magnitude = np.where(unknown, 0.0, np.minimum(np.abs(exponent), 2.0**63 - 1024.0))
    whole = magnitude.astype(np.int64)
    result, fraction = powers(base, whole), magnitude - whole
    for _ in range(52):
        if not fraction.any():
            break
        base = np.where(base >= 0.0, np.sqrt(base), np.nan)
        fraction = fraction + fraction
        taken = fraction >= 1.0
        result = np.where(taken, result * base, result)
        fraction = np.where(taken, fraction - 1.0, fraction)
    inverse = np.where(result != 0.0, np.divide(1.0, result), np.copysign(np.inf, result))
    return np.where(unknown, exponent, np.where(exponent < 0.0, inverse, result))
