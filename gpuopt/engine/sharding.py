"""Tensors of which several processes hold a part each: what is said of all parts together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class ProcessGroups(Protocol):
    """The processes over which some tensors are spread.

    Whoever asks one of these waits for the other processes: all of them must ask, in one order.

    Attributes:
        whole: whether each process has tensors of its own, and all of them: these are one model
            together, but no tensor is spread.
    """

    whole: bool

    def together(self, partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the partials of all processes together, with the same bits in each.

        Args:
            partials: this process's, [..., 3], as `kernels.table.PARTIALS` says.
        """

    def gather(self, total: Any) -> None:
        """Do the same to a `kernels.device_table.DeviceTotal`; its device waits, the host not."""


class Sharding:
    """Which tensors of a step are spread over the same processes.

    Attributes:
        process_groups: of each kind, in the order in which the tensors come; None: one process
            has all.
        of: int64, the kind of each tensor.
        shared: whether any tensor is spread.
    """

    def __init__(
        self,
        process_groups: Sequence[ProcessGroups | None],
        count: int,
        norm_groups: Sequence[ProcessGroups] = (),
    ) -> None:
        """Take what each tensor is spread over; none of ``count`` tensors is, if nothing is given.

        Every process finds the kinds in the same order, whichever gradients it has. Those of
        ``norm_groups`` are kinds even where no tensor is of them: other processes ask.
        """
        given = list(process_groups) or [None] * count
        known = dict.fromkeys((*norm_groups, *given))
        numbers = {spread: k for k, spread in enumerate(known)} or {None: 0}
        self.process_groups: tuple[ProcessGroups | None, ...] = tuple(numbers)
        self.of = np.array([numbers[spread] for spread in given], np.int64)
        self.shared = any(spread is not None for spread in self.process_groups)

    def without_tensors(self) -> list[int]:
        """Return the kinds that no tensor is of."""
        return sorted(set(range(len(self.process_groups))) - set(self.of.tolist()))

    def together(self, found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return partials of tensors, [n_tensors, ..., 3], as those of the whole tensors."""
        whole = found.copy()
        for kind, spread in enumerate(self.process_groups):
            if spread is not None and not spread.whole:
                whole[self.of == kind] = spread.together(found[self.of == kind])
        return whole
