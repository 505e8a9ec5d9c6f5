"""The coefficients of a table on the host: a few rows as Python floats, many as NumPy columns.

Both give the same bits: each operation is correctly rounded, and powers of columns use the same
squarings and roots as powers of numbers.
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
"""Up to this many rows, one Python call per row is as fast as columns."""

_Doubles = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class Coefficients:
    """Computes the coefficients of one table, and the carried numbers of its tensors."""

    def __init__(self, table: Table, group_of: _Integers) -> None:
        """Store a table, and the group of each of its tensors."""
        self._table, self._group_of = table, group_of
        found = np.unique(group_of, return_index=True, return_inverse=True)
        self._first_of_groups, self._groups_used = found[1], found[2]
        self._only_group = int(group_of[0])

    def fill(self, counts: _Integers, groups: Groups) -> _Doubles | None:
        """Write the coefficients of a step into the table.

        They are computed once for tensors of the same group, step and carried numbers, and
        rounded once.

        Args:
            counts: the current step of each tensor.
            groups: the options of each group.

        Returns:
            The carried numbers after the step, if there are any; they advance where a tensor has a
            gradient.
        """
        table = self._table
        first, row_of = self._distinct(counts)
        if len(first) == 1 and not table.carried.size:
            options = groups[self._only_group].options
            with np.errstate(all="ignore"):
                table.coefficients[...] = table.update.coefficients(int(counts[0]), options)
            return None
        inputs = self._group_of[first], counts[first], table.carried[first]
        with np.errstate(all="ignore"):  # inf and NaN are valid results
            found = (by_rows if len(first) <= FEW else by_columns)(table.update, groups, *inputs)
            rows = found if len(found) == 1 else found[row_of]
            n = table.coefficients.shape[1]
            table.coefficients[...] = rows[:, :n]
        if not table.carried.size:
            return None
        active = table.addresses[1:2].T != 0
        return np.where(active, rows[:, n:], table.carried)

    def _distinct(self, counts: _Integers) -> tuple[Any, Any]:
        """Return one tensor for each distinct row, and the index of each tensor's row."""
        if len(counts) == 1:
            return self._first_of_groups, self._groups_used
        carried = self._table.carried.view(np.int64).T  # by bits: a NaN equals itself
        different = [column for column in (counts, *carried) if (column != column[0]).any()]
        if not different:
            return self._first_of_groups, self._groups_used
        row_of = self._groups_used
        for column in different:
            numbers = np.unique(column, return_inverse=True)[1]
            row_of = np.unique(row_of * len(counts) + numbers, return_inverse=True)[1]
        return np.unique(row_of, return_index=True, return_inverse=True)[1:]


def by_rows(
    update: Update, groups: Groups, of: _Integers, steps: _Integers, carried: _Doubles
) -> _Doubles:
    """Return rows of coefficients, followed by the next carried numbers.

    Args:
        update: the update.
        groups: the options of each group.
        of: the group of each row.
        steps: the step of each row.
        carried: the carried numbers of each row.
    """
    rows = zip(of.tolist(), steps.tolist(), carried.tolist())
    return np.array([update.coefficients(t, groups[i].options, own) for i, t, own in rows])


def by_columns(
    update: Update, groups: Groups, of: _Integers, steps: _Integers, carried: _Doubles
) -> _Doubles:
    """Return the same as `by_rows`, column by column; values that all groups share are numbers."""
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
    """Return the coefficients function of an update, for arrays."""
    # Not plain functions: `retarget` would search these for powers, too.
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
        return power(base, exponent)  # also squares whole arrays
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
