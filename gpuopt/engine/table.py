"""The table: addresses, sizes, chunks and coefficients of all tensors of one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Memory
from ..kernels.storage import compute_dtype
from ..kernels.table import PARTIALS, partials_of_tensors
from .update import Update

EMPTY = 1
"""The address of a gradient without elements; 0 stands for no gradient."""

VECTOR = 16
"""Bytes of one access in the GPU kernels; unaligned tensors get their own table."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a step.

    Attributes:
        index: the index of its parameter in the optimizer.
        update: the update of its group.
        memory: the memory of the parameter, the gradient and each state, in the update's order.
    """

    index: int
    update: Update
    memory: tuple[Memory, ...]

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each list."""
        return tuple(m.dtype for m in self.memory)

    @property
    def flat(self) -> bool:
        """Whether all its arrays are dense, aligned and of the same memory order."""
        first, count = self.memory[0].order, len(self.memory) - len(self.update.scales)
        return (
            first is not None
            and all(m.order == first for m in self.memory[:count])
            and all(m.element_aligned for m in self.memory)
        )


@dataclass(frozen=True, eq=False)
class Table:
    """All tensors that one launch updates.

    Attributes:
        update: the composed update of all of them.
        device: the device of all arrays.
        library: the library of the parameters, whose stream the launch uses.
        dtypes: the dtype of each list, in the update's order.
        vectors: whether every array is aligned to `VECTOR` bytes.
        tensors: int64 [n_tensors], the index of each in the optimizer.
        addresses: int64 [n_lists, n_tensors]; 0 for the gradient of a tensor that has none.
        sizes: int64 [n_tensors], elements.
        chunks: int32 [n_chunks, 2], (column of the table, chunk of that tensor).
        ends: int64 [n_chunks], the cumulative number of elements at the end of each chunk.
        coefficients: [n_tensors, n_coefficients] in the dtype that the rule computes in.
        carried: float64 [n_tensors, n_carried], the carried numbers of each tensor, and its sums.
        partials: float64 [n_chunks, n_watched, 3], the partials of the watched values; see
            `kernels.table.PARTIALS`.
    """

    update: Update
    device: str
    library: str
    dtypes: tuple[str, ...]
    vectors: bool
    tensors: npt.NDArray[np.int64]
    addresses: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    chunks: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    coefficients: npt.NDArray[Any]
    carried: npt.NDArray[np.float64]
    partials: npt.NDArray[np.float64]

    def partials_of_tensors(
        self, watched: npt.NDArray[np.float64], measured: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float64]:
        """Return the partials of whole tensors, [n_tensors, n_watched, 3].

        Args:
            watched: the partials of each chunk.
            measured: the partials of the gradients, if they were measured before the update.
        """
        count = len(self.sizes)
        found = partials_of_tensors(watched, self.chunks, count)
        if measured is not None:
            found[:, :1] = partials_of_tensors(measured, self.chunks, count)
        return found

    def read_sums(self, carried: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sums of tensors, stored as their last carried numbers, and their sizes."""
        sums = carried[:, carried.shape[1] - len(self.update.rule.sums) :]
        return np.concatenate([sums, self.sizes[:, None]], axis=1)

    def write_sums(self, carried: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> None:
        """Write the sums and sizes of whole tensors, as `read_sums` returns them."""
        rule = self.update.rule
        names, count = self.update.carried_names, len(rule.sums)
        carried[:, len(names) - count :] = rows[:, :count]
        if "size" in rule.facts:
            carried[:, names.index("size")] = rows[:, count]

    def write_carried(
        self, rows: npt.NDArray[np.float64], carried: Sequence[dict[str, float]]
    ) -> None:
        """Copy carried numbers, a row for each tensor, to those of the whole optimizer."""
        if rows.size:
            for tensor, row in zip(self.tensors.tolist(), rows.tolist()):
                carried[tensor].update(zip(self.update.kept_names, row))


_Key = tuple[Update, str, str, tuple[str, ...], bool]


def build_tables(entries: Sequence[Entry], chunk: int) -> list[Table]:
    """Return one table for each update, device, library, dtype combination and alignment.

    Args:
        entries: flat tensors.
        chunk: the number of elements per chunk.
    """
    partitions: dict[_Key, list[Entry]] = {}
    for entry in entries:
        vectors = all(m.address % VECTOR == 0 for m in entry.memory)
        param = entry.memory[0]
        key = (entry.update, param.device, param.library, entry.dtypes, vectors)
        partitions.setdefault(key, []).append(entry)
    return [_build(key, members, chunk) for key, members in partitions.items()]


def grad_address(memory: Memory) -> int:
    """Return the address of a gradient in the table."""
    return memory.address if memory.size else EMPTY


def chunks_of(
    sizes: npt.NDArray[np.int64], chunk: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the chunks of tensors, and the cumulative number of elements at the end of each.

    >>> chunks, ends = chunks_of(np.array([5, 0, 3]), chunk=4)
    >>> chunks.tolist(), ends.tolist()
    ([[0, 0], [0, 1], [2, 0]], [4, 5, 8])
    """
    counts = -(-sizes // chunk)
    tensor = np.repeat(np.arange(len(sizes)), counts)
    first = np.cumsum(counts) - counts
    number = np.arange(len(tensor)) - first[tensor]
    lengths = np.minimum(sizes[tensor] - number * chunk, chunk)
    return np.stack([tensor, number], axis=1).astype(np.int32), np.cumsum(lengths)


def _build(key: _Key, members: list[Entry], chunk: int) -> Table:
    update, device, library, dtypes, vectors = key
    sizes = np.array([m.memory[0].size for m in members], np.int64)
    chunks, ends = chunks_of(sizes, chunk)
    addresses = np.array([[m.address for m in entry.memory] for entry in members], np.int64)
    shape = (len(members), len(update.coefficient_names))
    return Table(
        update,
        device,
        library,
        dtypes,
        vectors,
        np.array([m.index for m in members], np.int64),
        np.ascontiguousarray(addresses.T),
        sizes,
        chunks,
        ends,
        np.zeros(shape, compute_dtype(dtypes[0])),
        np.zeros((len(members), len(update.carried_names))),
        np.zeros((len(chunks), len(update.watched_names), len(PARTIALS))),
    )
