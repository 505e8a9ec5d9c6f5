"""What a kernel asks of the table that it walks, and of the update that it applies."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


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
        """The names of the function's values."""

    @property
    def written(self) -> tuple[int, ...]:
        """Which of them its results replace."""

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
    """What a backend asks of a table; `gpuopt.table.Table` says what each part holds."""

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
    def carried(self) -> npt.NDArray[np.float64]:
        """One row a tensor."""
