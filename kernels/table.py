"""What kernels need of the table that they walk and of the update that they apply."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

PARTIALS = ("sum_of_squares", "largest", "not_finite")
"""The partials of a part of a tensor, in float64: the sum of the squares of its elements, the
largest absolute value among those that are not NaN, and how many are infinite or NaN."""


def add_partials(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the combined partials of two parts; ``a`` and ``b`` are [..., 3]."""
    total: npt.NDArray[np.float64] = a + b
    total[..., 1] = np.fmax(a[..., 1], b[..., 1])
    return total


def combine_partials(partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the combined partials of all parts; ``partials`` is [n, 3]."""
    sums: npt.NDArray[np.float64] = partials.sum(axis=0)
    sums[1] = np.fmax.reduce(partials[:, 1], initial=0.0)
    return sums


def partials_of_tensors(
    partials: npt.NDArray[np.float64], chunks: npt.NDArray[np.int32], n_tensors: int
) -> npt.NDArray[np.float64]:
    """Return the partials of whole tensors, [n_tensors, n_watched, 3], from those of chunks.

    The chunks of a tensor are added in their order, so the result is always the same.
    """
    whole = np.zeros((n_tensors, *partials.shape[1:]))
    np.add.at(whole, chunks[:, 0], partials)
    whole[..., 1] = 0.0
    np.fmax.at(whole[..., 1], chunks[:, 0], partials[..., 1])
    return whole


class Update(Hashable, Protocol):
    """What a backend needs of a composed update."""

    @property
    def function(self) -> Any:
        """The pure NumPy function of values and coefficients."""

    @property
    def coefficients_function(self) -> Any:
        """The pure NumPy function of the step, the carried numbers and the options."""

    @property
    def lists(self) -> tuple[str, ...]:
        """The names of the lists of arrays."""

    @property
    def read(self) -> tuple[int, ...]:
        """Which of the lists its values come from."""

    @property
    def written(self) -> tuple[int, ...]:
        """Which of the lists its results replace."""

    @property
    def watched_names(self) -> tuple[str, ...]:
        """The values that it returns behind its results, of which partials are wanted."""

    @property
    def wants_sums(self) -> bool:
        """Whether only sums and counts of the watched values are needed, and nothing is written."""

    @property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words that it rounds by.

        For each, it takes the element's index in its tensor, behind the values.
        """

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The names of its coefficients."""

    @property
    def carried_names(self) -> tuple[str, ...]:
        """The names of the numbers that each tensor carries from step to step."""

    @property
    def option_names(self) -> tuple[str, ...]:
        """The names of its options."""


class Table(Protocol):
    """What a backend needs of a table; `gpuopt.engine.table.Table` documents each part."""

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
        """One row for each list, one column for each tensor."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Elements of each tensor."""

    @property
    def chunks(self) -> npt.NDArray[np.int32]:
        """The (tensor, chunk) of each program."""

    @property
    def coefficients(self) -> npt.NDArray[Any]:
        """One row for each tensor."""

    @property
    def partials(self) -> npt.NDArray[np.float64]:
        """The `PARTIALS` of each watched value in each chunk."""

    @property
    def carried(self) -> npt.NDArray[np.float64]:
        """One row for each tensor."""
