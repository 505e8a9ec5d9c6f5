"""A launch of one tensor that is not in a table: NumPy updates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Memory, copy_into, to_numpy
from ..kernels.numpy import blocks
from ..kernels.storage import compute_dtype
from ..kernels.table import PARTIALS, stored_rows
from .gradients import Gradients
from .groups import Groups
from .launch import Launch, LaunchInfo
from .measure import Measure
from .table import Entry


class NumpyLaunch(Launch):
    """One tensor, updated by the `numpy` backend.

    It updates all tensors if this backend was chosen, and otherwise strided ones on the CPU.
    Tensors on a device without another backend are updated through copies on the host.
    """

    def __init__(
        self, entry: Entry, group: int, arrays: Sequence[Any], carried: Sequence[float]
    ) -> None:
        """Store a tensor.

        Args:
            entry: the tensor.
            group: the group that it belongs to.
            arrays: its parameter and its states, in the update's order.
            carried: its carried numbers, in the update's order.
        """
        self.tensors = np.array([entry.index], np.int64)
        self._entry, self._group, self._carried = entry, group, carried
        self._param, *self._states = arrays
        self._compute = compute_dtype(entry.dtypes[0])
        self._on_host = entry.memory[0].device == "cpu"
        self._grad: Memory | None = None
        self._coefficients = np.zeros(0, self._compute)
        self._next_carried = carried
        self._partials = np.zeros((len(entry.update.watched_names), len(PARTIALS)))
        self._measured = np.zeros(len(PARTIALS))
        self._totals = np.zeros(len(entry.update.rule.totals))

    @property
    def info(self) -> LaunchInfo:
        """Its backend, update and dtypes."""
        entry = self._entry
        device = entry.memory[0].device
        return LaunchInfo(blocks.__name__, device, entry.update, entry.dtypes, not entry.flat)

    @property
    def elements(self) -> int:
        """The number of elements of its parameter."""
        return self._entry.memory[0].size

    def set_addresses(self, gradients: Gradients) -> None:
        """Store the memory of the gradient, if there is one."""
        index = self._entry.index
        self._grad = gradients.grad(index) if gradients.addresses[index] else None

    def measure(self, grads: Sequence[Any], what: Measure) -> npt.NDArray[np.float64] | None:
        """Return the partials of the gradient, or None without one."""
        if self._grad is None:
            return None
        array = self._grad.view if self._on_host else to_numpy(grads[self._entry.index])
        none = np.zeros(0, self._compute)
        self._measured = blocks.run(what, [array, array], self._entry.dtypes[:2], none)[0]
        return self._measured

    def sum_up(self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute the sums, with the coefficients that do not depend on them."""
        sums = self._entry.update.sums
        if sums is None or self._grad is None:
            return
        self.compute(steps, groups)
        found = blocks.run(sums, self._views(grads), self._entry.dtypes, self._coefficients)
        self._carried = [*self._carried[: -len(found)], *found[:, 0].tolist()]

    def total_up(self, grads: Sequence[Any], steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute the tensor's part of the totals, if they come first."""
        totals = self._entry.update.totals
        if totals is None or self._grad is None:
            return
        self.compute(steps, groups)
        found = blocks.run(totals, self._views(grads), self._entry.dtypes, self._coefficients)
        self._totals = found[:, 0]

    def totals(self) -> npt.NDArray[np.float64] | None:
        """Return the tensor's part of the totals, if it has a gradient."""
        if self._grad is None:
            return None
        if self._entry.update.totals is not None:
            return self._totals
        found: npt.NDArray[np.float64] = self._partials[-len(self._entry.update.rule.totals) :, 0]
        return found

    def read_sums(self) -> npt.NDArray[np.float64]:
        """Return the sums of the tensor, and its size."""
        count = len(self._entry.update.rule.sums)
        sums = [*self._carried[len(self._carried) - count :], self._entry.memory[0].size]
        return np.array([sums], np.float64)

    def write_sums(self, rows: npt.NDArray[np.float64]) -> None:
        """Write them into its carried numbers."""
        names, rule = self._entry.update.carried_names, self._entry.update.rule
        given = dict(zip((*rule.sums, "size"), rows[0].tolist()))
        self._carried = [given.get(name, x) for name, x in zip(names, self._carried)]

    def compute(self, steps: npt.NDArray[np.int64], groups: Groups) -> None:
        """Compute the coefficients, and the next carried numbers."""
        if self._grad is None:
            return
        update, options = self._entry.update, groups[self._group].options
        step = int(steps[self._entry.index]) + 1
        with np.errstate(all="ignore"):  # inf and NaN are valid results
            values = update.coefficients(step, options, self._carried)
            count = len(values) - len(update.carried_names)
            self._coefficients = np.array(values[:count]).astype(self._compute)
        self._next_carried = values[count:]

    def run(self, grads: Sequence[Any]) -> None:
        """Update the tensor, if it has a gradient."""
        if self._grad is None:
            return
        entry, views = self._entry, self._views(grads)
        self._partials = blocks.run(entry.update, views, entry.dtypes, self._coefficients)
        self._carried = self._next_carried
        if not self._on_host:
            arrays = [self._param, grads[entry.index], *self._states]
            for row in stored_rows(entry.update):
                copy_into(arrays[row], views[row])

    def _views(self, grads: Sequence[Any]) -> list[Any]:
        """Return the arrays of all lists on the host: themselves, or copies."""
        param, _, *states = self._entry.memory
        if self._on_host:
            assert self._grad is not None
            return [memory.view for memory in (param, self._grad, *states)]
        return [to_numpy(a) for a in (self._param, grads[self._entry.index], *self._states)]

    def read_partials(self, measured: bool) -> npt.NDArray[np.float64]:
        """Return the partials of the tensor."""
        found = self._partials.copy()
        if measured:
            found[0] = self._measured
        return found[None]

    def pull_carried(self, carried: Sequence[dict[str, float]]) -> None:
        """Write its numbers into ``carried``."""
        names = self._entry.update.kept_names
        carried[self._entry.index].update(zip(names, self._carried))
