"""The groups of an optimizer: the update and the options of each, in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ..arrays import scalars
from .update import Update

Column = Sequence[float]
"""An option's number in each group."""


@dataclass(frozen=True, eq=False)
class Group:
    """The update and the options of one group in a step.

    Attributes:
        update: the composed update.
        options: the numbers that its coefficients are computed from.
        state_dtype: the dtype of new states; None for float32 (float64 for float64 parameters).
        tensors: the options whose values are tensors; a device reads those in its memory.
    """

    update: Update
    options: Mapping[str, float]
    state_dtype: str | None = None
    tensors: Mapping[str, Any] = field(default_factory=dict)


class Groups(Sequence[Group]):
    """All groups of a step, as a sequence of `Group`.

    It is immutable: if an option changes, the step has another `Groups`, which shares the columns
    of all other options.

    Attributes:
        updates: the update of each group.
        state_dtypes: the dtype of new states in each group, or None.
        numbers: for each option, its column.
        common: for each common option, one number for all groups.
        tensors: for each option with a tensor, the values of all groups.
    """

    def __init__(
        self,
        updates: Sequence[Update],
        state_dtypes: Sequence[str | None],
        numbers: Mapping[str, Column],
        common: Mapping[str, float],
        tensors: Mapping[str, Sequence[Any]],
        before: Groups | None = None,
    ) -> None:
        """Store the parts; columns that ``before`` also has are reused."""
        self.updates, self.state_dtypes = tuple(updates), tuple(state_dtypes)
        self.numbers, self.common, self.tensors = numbers, common, tensors
        self._made: list[Group | None] = [None] * len(self.updates)
        self._columns: dict[str, float | npt.NDArray[np.float64]] = {}
        if before is not None:
            for name, column in before._columns.items():
                if numbers.get(name) is before.numbers[name]:
                    self._columns[name] = column

    @staticmethod
    def of(groups: Sequence[Group]) -> Groups:
        """Return a sequence of `Group` as `Groups`."""
        if isinstance(groups, Groups):
            return groups
        names = dict.fromkeys(name for group in groups for name in group.options)
        numbers = {name: [g.options.get(name, 0.0) for g in groups] for name in names}
        followed = dict.fromkeys(name for group in groups for name in group.tensors)
        tensors = {name: [g.tensors.get(name) for g in groups] for name in followed}
        dtypes = [group.state_dtype for group in groups]
        found = Groups([group.update for group in groups], dtypes, numbers, {}, tensors)
        found._made = list(groups)
        return found

    @property
    def sums(self) -> int:
        """The largest number of sums that any group's rule has."""
        return max(len(update.rule.sums) for update in self.updates)

    def with_common(self, more: Mapping[str, float]) -> Groups:
        """Return the same groups with further numbers for all of them."""
        common = {**self.common, **more}
        return Groups(self.updates, self.state_dtypes, self.numbers, common, self.tensors, self)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.updates)

    @overload
    def __getitem__(self, i: int) -> Group: ...

    @overload
    def __getitem__(self, i: slice) -> list[Group]: ...

    def __getitem__(self, i: int | slice) -> Group | list[Group]:
        """Return a group, or a list of them for a slice."""
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        made = self._made[i]
        if made is None:
            options = {name: column[i] for name, column in self.numbers.items()}
            options.update(self.common)
            tensors = {
                name: values[i]
                for name, values in self.tensors.items()
                if scalars.is_array(values[i])
            }
            made = Group(self.updates[i], options, self.state_dtypes[i], tensors)
            self._made[i] = made
        return made

    def __iter__(self) -> Iterator[Group]:
        """Iterate over the groups."""
        return (self[i] for i in range(len(self)))

    def column(self, name: str) -> float | npt.NDArray[np.float64]:
        """Return an option of all groups; one number if it has the same bits in all."""
        if name in self.common:
            return self.common[name]
        found = self._columns.get(name)
        if found is None:
            array = np.array(self.numbers[name], np.float64)
            bits = array.view(np.int64)
            found = float(array[0]) if (bits == bits[0]).all() else array
            self._columns[name] = found
        return found

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return options of all groups, [groups, names]; 0.0 for a name that is not an option."""
        found = np.empty((len(self), len(names)))
        for k, name in enumerate(names):
            known = name in self.common or name in self.numbers
            found[:, k] = self.column(name) if known else 0.0
        return found

    @property
    def all(self) -> int | slice:
        """The index of all rows of `matrix`; of a single row if there is one group."""
        return 0 if len(self) == 1 else slice(None)

    @cached_property
    def followed(self) -> list[tuple[int | slice, str, Any]]:
        """The tensors among the options: (rows, option, tensor), once if all groups share it."""
        found: list[tuple[int | slice, str, Any]] = []
        for name, values in self.tensors.items():
            if all(value is values[0] for value in values):
                found.append((self.all, name, values[0]))
            else:
                found += [(i, name, v) for i, v in enumerate(values) if scalars.is_array(v)]
        return found
