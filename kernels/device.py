"""The interfaces to a device: memory, the current stream, and compiled kernels.

`Memory` moves arrays to the device and back, `Kernels` launches the kernels of a table, and
`TotalKernel` adds up the partials of tables. Each backend has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy.typing as npt

from .table import Update


class StagedArray(Protocol):
    """A device array that the host rewrites from pinned memory, asynchronously."""

    @property
    def array(self) -> Any:
        """The device array."""

    def send(self, values: npt.NDArray[Any]) -> None:
        """Copy ``values`` to the device array on the current stream."""


class Memory(Protocol):
    """The memory of one device, used on the current stream of one library."""

    def current(self) -> AbstractContextManager[Any]:
        """Make the device and the library's stream current for the calls below."""

    def upload(self, values: npt.NDArray[Any]) -> Any:
        """Return a device copy of ``values``."""

    def staged(self, values: npt.NDArray[Any]) -> StagedArray:
        """Return a device copy of ``values`` that can be rewritten."""

    def read(self, array: Any) -> npt.NDArray[Any]:
        """Return a copy on the host; synchronizes."""

    def hold(self, arrays: Sequence[Any]) -> bool:
        """Keep the allocator from reusing these arrays while the current stream works on them.

        Returns:
            Whether the stream is being captured in a graph, which may replay the work at any time.
        """

    def copy_number(self, array: Any, rows: int | slice, column: int, number: Any) -> None:
        """Copy a one-element float array into elements of another array, asynchronously."""


Launch = Callable[[], None]
"""Launches a kernel with the arguments that it was compiled for."""


class Kernels(Protocol):
    """The compiled kernels of one table."""

    def coefficients(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that counts the steps and computes the coefficients.

        Args:
            arguments: addresses, steps, carried, groups, options, coefficients, skip and the
                number of tensors.
        """

    def walk(
        self, update: Update, dtypes: tuple[str, ...], arguments: tuple[Any, ...], n_chunks: int
    ) -> Launch:
        """Return the launch that applies an update to the elements.

        Args:
            update: the table's own, or one of the first of its lists.
            dtypes: the dtypes of the update's lists.
            arguments: addresses, sizes, chunks, coefficients, skip, partials and the number of
                tensors.
            n_chunks: at least one.
        """

    def subtotals(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that reduces every `SUBTOTAL_ROWS` rows of partials to one.

        Args:
            arguments: the partials, the subtotals, and the number of rows of the partials.
        """

    def sums(self, arguments: tuple[Any, ...]) -> Launch:
        """Return the launch that reduces the sums of chunks to those of tensors.

        Args:
            arguments: the partials of chunks; the first chunk of each tensor, followed by the
                number of chunks; the carried numbers, whose last columns are the sums; and the
                numbers of sums, of columns, of values per chunk, of values between two sums of a
                chunk, and of tensors. The sums of a chunk are its last values.
        """


FIRST, LAST, DECIDES = 1, 2, 4
"""The flags of `multi_tensor_total`: see `TotalKernel`."""

TotalKernel = Callable[[tuple[Any, ...]], Launch]
"""Returns the launch that adds partials to a total.

Its arguments are the partials, the caller's skip flag, the total, the skip flag for the tables, the
count of skipped steps, the number of rows of partials, and a sum of flags. `FIRST`: start the total
from these partials. `LAST`: nothing follows, so write the tables' skip flag, and count the step if
it is skipped. `DECIDES`: a nonfinite gradient also skips the step.
"""
