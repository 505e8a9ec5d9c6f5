"""What a kernel asks of the table that it walks, and of the update that it applies."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

PARTIALS = ("sum_of_squares", "largest", "not_finite")
"""What is known of a part of a tensor: in float64 the sum of the squares of its elements, the
largest absolute value among those that are not NaN, and how many are infinite or NaN."""


def add_partials(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the partials of two parts together; ``a`` and ``b`` are [..., 3]."""
    total: npt.NDArray[np.float64] = a + b
    total[..., 1] = np.fmax(a[..., 1], b[..., 1])
    return total


def together(partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the partials of all parts together; ``partials`` is [n, 3]."""
    sums: npt.NDArray[np.float64] = partials.sum(axis=0)
    sums[1] = np.fmax.reduce(partials[:, 1], initial=0.0)
    return sums


def partials_of_tensors(
    partials: npt.NDArray[np.float64], chunks: npt.NDArray[np.int32], n_tensors: int
) -> npt.NDArray[np.float64]:
    """Return the partials of whole tensors, [n_tensors, n_watched, 3], from those of chunks.

    The chunks of a tensor are added one after the other, so the result depends on nothing else.
    """
    whole = np.zeros((n_tensors, *partials.shape[1:]))
    np.add.at(whole, chunks[:, 0], partials)
    whole[..., 1] = 0.0
    np.fmax.at(whole[..., 1], chunks[:, 0], partials[..., 1])
    return whole


class Update(Hashable, Protocol):
    """What a backend asks of a composed update."""

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
        """What it returns behind its results, of which sums and maxima are wanted."""

    @property
    def wants_sums(self) -> bool:
        """Whether of what is watched only the sums and counts matter, and nothing is written."""

    @property
    def random_streams(self) -> tuple[int, ...]:
        """The streams of random words that it rounds by.

        For each it takes, behind the values, the place of the element in its tensor.
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
    """What a backend asks of a table; `gpuopt.engine.table.Table` says what each part holds."""

    @property
    def update(self) -> Update:
        """What all its tensors get."""

    @property
    def device(self) -> str:
        """Where they lie."""

    @property
    def library(self) -> str:
        """Whose arrays the parameters are: ``"numpy"``, ``"torch"`` or ``"cupy"``."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of each list."""

    @property
    def vectors(self) -> bool:
        """Whether every array is aligned for 16-byte accesses."""

    @property
    def addresses(self) -> npt.NDArray[np.int64]:
        """One row a list, one column a tensor."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Elements of each tensor."""

    @property
    def chunks(self) -> npt.NDArray[np.int32]:
        """The (tensor, chunk) of each program."""

    @property
    def coefficients(self) -> npt.NDArray[Any]:
        """One row a tensor."""

    @property
    def partials(self) -> npt.NDArray[np.float64]:
        """Of each chunk, for each thing that is watched, what `PARTIALS` says."""

    @property
    def carried(self) -> npt.NDArray[np.float64]:
        """One row a tensor."""
