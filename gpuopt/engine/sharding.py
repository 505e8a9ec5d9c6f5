"""Sharded tensors: which process groups hold the other shards of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class ProcessGroups(Protocol):
    """The process groups over which some tensors are sharded.

    Each call below is a collective: all processes must make it, in the same order.

    Attributes:
        whole: whether, instead of shards, each process has different whole tensors of one model.
    """

    whole: bool

    def combine(self, partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the combined partials of all processes, with the same bits in each.

        Args:
            partials: this process's partials, [..., 3]; see `kernels.table.PARTIALS`.
        """

    def gather(self, total: Any) -> None:
        """Combine a `kernels.device_total.DeviceTotal` of each process, on the device."""


class Sharding:
    """The process groups of each tensor of a step.

    Attributes:
        process_groups: the distinct ones, in the order of the tensors; None for tensors that are
            not sharded.
        index_of: int64, for each tensor its index in ``process_groups``.
        sharded: whether any tensor has process groups.
    """

    def __init__(
        self,
        process_groups: Sequence[ProcessGroups | None],
        count: int,
        norm_groups: Sequence[ProcessGroups] = (),
    ) -> None:
        """Number the process groups, in an order that is the same in every process.

        Args:
            process_groups: the process groups of each tensor; empty if none is sharded.
            count: the number of tensors.
            norm_groups: the process groups that compute the norm, even without tensors here.
        """
        given = list(process_groups) or [None] * count
        known = dict.fromkeys((*norm_groups, *given))
        numbers = {groups: k for k, groups in enumerate(known)} or {None: 0}
        self.process_groups: tuple[ProcessGroups | None, ...] = tuple(numbers)
        self.index_of = np.array([numbers[groups] for groups in given], np.int64)
        self.sharded = any(groups is not None for groups in self.process_groups)

    def of(self, tensors: npt.NDArray[np.int64]) -> int:
        """Return the index of the process groups of some tensors, which share them."""
        return int(self.index_of[tensors[0]])

    def without_tensors(self) -> list[int]:
        """Return the indices of the process groups without tensors."""
        return sorted(set(range(len(self.process_groups))) - set(self.index_of.tolist()))

    def combine(self, found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return partials of shards, [n_tensors, ..., 3], as those of the whole tensors."""
        whole = found.copy()
        for k, groups in enumerate(self.process_groups):
            if groups is not None and not groups.whole:
                whole[self.index_of == k] = groups.combine(found[self.index_of == k])
        return whole
