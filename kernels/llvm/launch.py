"""Update a table on the CPU: one compiled loop over chunks, on several threads.

Compiled loops are cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import disk_cache
from ..table import Update
from ..threads import for_each_share
from .keys import has_sources, key_of
from .layout import CHUNK
from .object_files import compiling, load

__all__ = ["CHUNK", "bind", "compile", "entry_of", "object_file_of"]


@cache
def compile(update: Update, dtypes: tuple[str, ...]) -> Callable[..., None]:
    """Return the compiled loop over the chunks of a table, from the disk cache if possible."""
    with compiling:
        return load(object_file_of(update, dtypes), f"walk_{key_of(update, dtypes)}")


def object_file_of(update: Update, dtypes: tuple[str, ...]) -> bytes:
    """Return the object file of an update's loop; compile it unless it is cached on disk.

    Without the sources of this backend, nothing is cached.
    """
    entry = entry_of(update, dtypes)

    def make() -> bytes:
        from .compile import object_file  # not needed for a cache hit

        return object_file(update, dtypes, f"walk_{entry.stem}")

    return disk_cache.kept(entry, make) if has_sources() else make()


def entry_of(update: Update, dtypes: tuple[str, ...]) -> Path:
    """Return the cache file of an update's loop."""
    return disk_cache.folder("cpu") / f"{key_of(update, dtypes)}.o"


def bind(
    update: Update,
    dtypes: tuple[str, ...],
    addresses: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    chunks: npt.NDArray[np.int32],
    coefficients: npt.NDArray[Any],
    ends: npt.NDArray[np.int64],
    partials: npt.NDArray[np.float64],
) -> Callable[[], None]:
    """Return a function that updates every tensor of a table.

    The arrays are read and written in place, at each call.

    Args:
        update: the composed update.
        dtypes: the dtype of each list.
        addresses: one row per list, one column per tensor; a tensor whose gradient is at 0 is
            inactive and stays unchanged.
        sizes: the number of elements of each tensor.
        chunks: (tensor, chunk of that tensor), ordered by tensor.
        coefficients: one row per tensor, in the compute dtype.
        ends: the cumulative number of elements of the chunks, to split them into equal shares.
        partials: an output, a row of `kernels.table.PARTIALS` for each chunk and watched value; 0
            for an inactive tensor.
    """
    return _Walk(update, dtypes, (addresses, sizes, chunks, coefficients, partials), ends)


class _Walk:
    """A compiled loop and its table."""

    def __init__(
        self,
        update: Update,
        dtypes: tuple[str, ...],
        arrays: tuple[npt.NDArray[Any], ...],
        ends: npt.NDArray[np.int64],
    ) -> None:
        """Compile the loop, or load it; the arguments are those of `bind`."""
        self._kernel = compile(update, dtypes)
        self._arrays, self._ends = arrays, ends  # kept alive: the table has their addresses
        n_tensors = len(arrays[1])
        self._table = np.array([*(a.ctypes.data for a in arrays), n_tensors], np.int64)
        self._where = c_void_p(self._table.ctypes.data)

    def __call__(self) -> None:
        for_each_share(self._walk, self._ends)

    def _walk(self, first: int, last: int) -> None:
        self._kernel(self._where, c_int64(first), c_int64(last))
