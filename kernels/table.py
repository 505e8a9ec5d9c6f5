"""The interfaces of tables and updates that the backends use, and sums of partials."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .storage import BLOCK

PARTIALS = ("sum_of_squares", "largest", "not_finite")
"""The float64 partials of a chunk: the sum of squares, the largest absolute value (NaN ignored),
and the number of elements that are infinite or NaN. For the last `Update.n_plain` watched values:
the plain sum, and zeros."""

SUBTOTAL_ROWS = 2048
"""Rows of partials that one program reduces to a subtotal, so that no program needs many rounds,
whatever the size of the model. 7e9 parameters have 854,492 rows, thus 418 subtotals. Estimated, not
measured: ten rounds of under a microsecond and one more launch, instead of a millisecond in a
single program."""


def add_partials(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the combined partials of two chunks; ``a`` and ``b`` are [..., 3]."""
    total: npt.NDArray[np.float64] = a + b
    total[..., 1] = np.fmax(a[..., 1], b[..., 1])
    return total


def combine_partials(partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the combined partials of all chunks; ``partials`` is [n, 3]."""
    sums: npt.NDArray[np.float64] = partials.sum(axis=0)
    sums[1] = np.fmax.reduce(partials[:, 1], initial=0.0)
    return sums


def partials_of_tensors(
    partials: npt.NDArray[np.float64], chunks: npt.NDArray[np.int32], n_tensors: int
) -> npt.NDArray[np.float64]:
    """Return the partials of whole tensors, [n_tensors, n_watched, 3], from those of chunks.

    The chunks of a tensor are added in order, so its result does not depend on other tensors.
    """
    whole = np.zeros((n_tensors, *partials.shape[1:]))
    np.add.at(whole, chunks[:, 0], partials)
    whole[..., 1] = 0.0
    np.fmax.at(whole[..., 1], chunks[:, 0], partials[..., 1])
    return whole


class Update(Hashable, Protocol):
    """The interface of a composed update for the backends."""

    @property
    def function(self) -> Any:
        """The pure NumPy function from one element's values and the coefficients to its results."""

    @property
    def coefficients_function(self) -> Any:
        """The pure NumPy function from step, carried numbers and options to coefficients."""

    @property
    def lists(self) -> tuple[str, ...]:
        """The names of the lists of arrays."""

    @property
    def read(self) -> tuple[int, ...]:
        """The indices of the lists that it reads."""

    @property
    def written(self) -> tuple[int, ...]:
        """The indices of the lists that it writes."""

    @property
    def watched_names(self) -> tuple[str, ...]:
        """The values returned after the results, whose partials are computed."""

    @property
    def n_plain(self) -> int:
        """How many of the watched values, the last ones, are summed without squaring."""

    @property
    def blocked(self) -> tuple[tuple[int, int], ...]:
        """The rows of codes, each with the row of its blocks' scales.

        The function does not return codes, but the input of `encode_function`, whose largest
        absolute value in a block is the block's scale.
        """

    @property
    def encode_function(self) -> Any:
        """The pure NumPy function from these results and the scales to codes; or None."""

    @property
    def sums(self) -> Any:
        """The pass before it that computes sums, an update that writes nothing; or None."""

    @property
    def encode_streams(self) -> tuple[int, ...]:
        """The streams of random words for `encode_function`, which takes an element for each."""

    @property
    def encode_coefficients(self) -> tuple[str, ...]:
        """The names of the coefficients that `encode_function` takes."""

    @property
    def wants_sums(self) -> bool:
        """Whether it writes nothing, and only sums are needed, not the largest values."""

    @property
    def wants_counts(self) -> bool:
        """Whether counts of nonfinite values are needed; otherwise they stay 0."""

    @property
    def totals(self) -> Update | None:
        """The pass before it that computes partials of totals over all tensors, if any."""

    @property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words for stochastic rounding.

        For each, the function takes the element's index in its tensor, after the values.
        """

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The names of its coefficients."""

    @property
    def carried_names(self) -> tuple[str, ...]:
        """The names of the carried numbers."""

    @property
    def option_names(self) -> tuple[str, ...]:
        """The names of its options."""


def layout_of_sums(update: Update) -> tuple[int, int, int, int]:
    """Return what `device.Kernels.sums` is told of the sums of tensors, but for their number."""
    n_sums, n_numbers = len(update.sums.watched_names), len(PARTIALS)
    return n_sums, len(update.carried_names), n_numbers * n_sums, n_numbers


def layout_of_subtotals(n_totals: int, n_watched: int) -> tuple[int, int, int, int]:
    """Return the same of totals, which are the last watched values, added to subtotals.

    >>> layout_of_subtotals(n_totals=2, n_watched=5)
    (2, 2, 15, 3)
    """
    return n_totals, n_totals, len(PARTIALS) * n_watched, len(PARTIALS)


def layout_of_totals(n_totals: int, n_carried: int) -> tuple[int, int, int, int]:
    """Return the same of subtotals, added to the last of ``n_carried`` numbers."""
    return n_totals, n_carried, n_totals, 1


def items_of(update: Update, row: int, size: int) -> int:
    """Return the number of items in a list, elements or scales, for a tensor of this size."""
    scales = {scale for _, scale in update.blocked}
    return -(-size // BLOCK) if row in scales else size


def stored_rows(update: Update) -> frozenset[int]:
    """Return the lists that an update stores to: those that it writes, and their scales."""
    return frozenset((*update.written, *(scale for _, scale in update.blocked)))


class Table(Protocol):
    """The interface of a table for the backends; see `gpuopt.engine.table.Table`."""

    @property
    def update(self) -> Update:
        """The update of all its tensors."""

    @property
    def device(self) -> str:
        """The device of all its arrays."""

    @property
    def library(self) -> str:
        """The library of the parameters: ``"numpy"``, ``"torch"`` or ``"cupy"``."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each list."""

    @property
    def vectors(self) -> bool:
        """Whether every array is aligned for 16-byte accesses."""

    @property
    def addresses(self) -> npt.NDArray[np.int64]:
        """One row per list, one column per tensor."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of elements of each tensor."""

    @property
    def chunks(self) -> npt.NDArray[np.int32]:
        """The (tensor, chunk) of each program."""

    @property
    def coefficients(self) -> npt.NDArray[Any]:
        """One row per tensor."""

    @property
    def partials(self) -> npt.NDArray[np.float64]:
        """The `PARTIALS` of each chunk and watched value."""

    @property
    def carried(self) -> npt.NDArray[np.float64]:
        """One row per tensor."""
