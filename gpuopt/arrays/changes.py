"""Detection of arrays whose memory changed since the last step, with little host time.

A NumPy array keeps its memory for its lifetime, but its dtype can be set. A torch tensor does not
(``p.data = ...``), so its address and layout are compared at every step; the address alone is not
enough, since freed memory may be reused for another shape. If the address differs, the storage may
have been resized, too. Arrays of other libraries always count as changed.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter, is_
from typing import Any

import numpy as np
import numpy.typing as npt

from . import is_cupy_array, is_torch_tensor
from .torch_tensors import offsets_and_storages, reach

DTYPE, WRITEABLE = attrgetter("dtype"), attrgetter("flags.writeable")
"""The fastest way, in a map, to read the mutable properties of NumPy arrays."""

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Snapshot:
    """The recorded addresses and layouts of a list of arrays.

    Attributes:
        places: positions of the torch tensors in a list of torch tensors and None; None if all
            are tensors.
        addresses: the addresses of the torch tensors.
        layout: the layout of the torch tensors; None if there are other arrays.
        signatures: one per array, if there are other arrays.
        dtypes: the dtypes of the NumPy arrays among those, and None for others.
        numpy_arrays: the arrays, if all are NumPy arrays.
    """

    places: list[int] | None = None
    addresses: Sequence[int] = ()
    layout: Layout | None = None
    signatures: list[Any] | None = None
    dtypes: list[Any] | None = None
    numpy_arrays: NumpyArrays | None = None

    def rows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield each tensor's position, and its address and layout."""
        assert self.layout is not None
        places = range(len(self.addresses)) if self.places is None else self.places
        return zip(places, zip(self.addresses, *self.layout.columns))


@dataclass(frozen=True)
class Moves:
    """The differences between two snapshots.

    Attributes:
        changed: positions of arrays that appeared, disappeared, or changed their layout, and of
            torch tensors that extend beyond their new storages.
        moved: int64, positions of torch tensors of which only the address changed.
        addresses: int64, the new addresses of ``moved``.
    """

    changed: Sequence[int] = ()
    moved: npt.NDArray[np.int64] = field(default_factory=lambda: _NONE)
    addresses: npt.NDArray[np.int64] = field(default_factory=lambda: _NONE)


NONE = Moves()
"""Nothing moved."""


class Layout:
    """Strides, dtypes, shapes and devices of torch tensors.

    Attributes:
        columns: one list per property.
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        """Read the properties."""
        self.columns = _properties(tensors)
        self._guards = _guards(tensors)

    def fits(self, tensors: Sequence[Any]) -> bool:
        """Return whether these tensors have the same layout; False is possible if they do."""
        if self._guards is not None:
            return bool(self._guards.check(*tensors))
        return _properties(tensors) == self.columns

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        """int64 [2, n]: the size of an element, and of the whole tensor, in bytes."""
        strides, dtypes, shapes, *_ = self.columns
        items = [dtype.itemsize for dtype in dtypes]
        return np.array([items, list(map(reach, shapes, strides, items))], np.int64)

    def fits_storages(
        self, tensors: Sequence[Any], at: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return for each position whether the tensor there fits within its storage."""
        moved = tensors if len(at) == len(tensors) else [tensors[k] for k in at.tolist()]
        items, needed = self._sizes[:, at]
        first, held = offsets_and_storages(moved)
        fits: npt.NDArray[np.bool_] = (first * items + needed <= held) | (needed == 0)
        return fits


class NumpyArrays:
    """NumPy arrays, with a fast check whether others are the same objects."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        """Store their ids, which are unique while they are alive."""
        self._ids, self._dtypes = list(map(id, arrays)), list(map(DTYPE, arrays))
        self._freed: list[Any] = []
        self._references = [weakref.ref(array, self._freed.append) for array in arrays]

    def are_same(self, arrays: Sequence[Any]) -> bool:
        """Return whether these are the same arrays, with unchanged dtypes."""
        return (
            not self._freed
            and list(map(id, arrays)) == self._ids
            and list(map(DTYPE, arrays)) == self._dtypes
        )


def detect_changes(arrays: Sequence[Any], last: Snapshot | None = None) -> tuple[Snapshot, Moves]:
    """Return a snapshot, and its differences from the last one.

    Args:
        arrays: arrays of any library, or None.
        last: the last snapshot; None if there is none.
    """
    if last is not None and last.numpy_arrays is not None and last.numpy_arrays.are_same(arrays):
        return last, NONE
    places, tensors, addresses = None, arrays, _addresses(arrays)
    if addresses is None and any(array is None for array in arrays):
        places = [i for i, array in enumerate(arrays) if array is not None]
        tensors = [arrays[i] for i in places]
        addresses = _addresses(tensors)
    if addresses is None:
        return _detect_each(arrays, last)
    known = last.layout if last is not None and last.places == places else None
    if known is None or last is None or not known.fits(tensors):
        snapshot = Snapshot(places, addresses, Layout(tensors))
        return snapshot, _compare(snapshot, last, tensors, len(arrays))
    if addresses == last.addresses:
        return last, NONE
    snapshot = Snapshot(places, addresses, known)
    now = np.array(addresses, np.int64)
    moved = np.flatnonzero(now != np.array(last.addresses, np.int64))
    return snapshot, _moves([], moved, now, snapshot, tensors)


def _compare(
    snapshot: Snapshot, last: Snapshot | None, tensors: Sequence[Any], count: int
) -> Moves:
    if last is None or last.layout is None:
        return Moves(range(count))
    rows, before = dict(snapshot.rows()), dict(last.rows())
    differ = [i for i in range(count) if rows.get(i) != before.get(i)]
    moved = {i for i in differ if i in rows and i in before and rows[i][1:] == before[i][1:]}
    changed = [i for i in differ if i not in moved]
    at = np.array([k for k, i in enumerate(rows) if i in moved], np.int64)
    return _moves(changed, at, np.array(snapshot.addresses, np.int64), snapshot, tensors)


def _moves(
    changed: list[int],
    at: npt.NDArray[np.int64],
    addresses: npt.NDArray[np.int64],
    snapshot: Snapshot,
    tensors: Sequence[Any],
) -> Moves:
    """Return the moves; a tensor that extends beyond its storage counts as changed.

    Args:
        changed: positions in the list of all arrays.
        at: int64, positions of the moved tensors in the list of tensors.
        addresses: the addresses of all tensors.
        snapshot: the snapshot of all arrays.
        tensors: all tensors.
    """
    assert snapshot.layout is not None
    fits = snapshot.layout.fits_storages(tensors, at)
    places = at if snapshot.places is None else np.array(snapshot.places, np.int64)[at]
    if not fits.all():
        changed = sorted([*changed, *places[~fits].tolist()])
        at, places = at[fits], places[fits]
    return Moves(changed, places, addresses[at])


def _addresses(arrays: Sequence[Any]) -> list[int] | None:
    """Return the addresses of torch tensors, or None if there are other values."""
    torch: Any = sys.modules.get("torch")
    try:
        return list(map(torch.Tensor.data_ptr, arrays))
    except (AttributeError, RuntimeError, TypeError):  # no torch; a sparse tensor; other values
        return None


def _properties(tensors: Sequence[Any]) -> tuple[list[Any], ...]:
    return (
        [tensor.stride() for tensor in tensors],
        [tensor.dtype for tensor in tensors],
        [tensor.shape for tensor in tensors],
        [tensor.device for tensor in tensors],
        [tensor.is_neg() for tensor in tensors],
    )


def _guards(tensors: Sequence[Any]) -> Any:
    """Return torch's own check of many tensors at once, or None if this torch lacks it.

    It compares `_properties` and autograd's flags in C++, in a quarter of the time. It is a private
    API, so it must stay optional.
    """
    try:
        from torch._C._dynamo.guards import TensorGuards

        return TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)
    except Exception:  # other versions of torch may raise anything
        return None


def _detect_each(arrays: Sequence[Any], last: Snapshot | None) -> tuple[Snapshot, Moves]:
    signatures = [_signature(array) for array in arrays]
    numpy_arrays = (
        NumpyArrays(arrays) if all(isinstance(s, weakref.ref) for s in signatures) else None
    )
    dtypes = [array.dtype if isinstance(array, np.ndarray) else None for array in arrays]
    snapshot = Snapshot(signatures=signatures, dtypes=dtypes, numpy_arrays=numpy_arrays)
    if last is None or last.signatures is None:
        return snapshot, Moves(range(len(arrays)))
    if all(map(is_, signatures, last.signatures)) and dtypes == last.dtypes:
        return snapshot, NONE
    pairs = enumerate(zip(signatures, last.signatures))
    differ = {i for i, (a, b) in pairs if a is not b and (type(a) is not tuple or a != b)}
    differ |= {i for i, (a, b) in enumerate(zip(dtypes, last.dtypes or ())) if a != b}
    return snapshot, Moves(sorted(differ))


def _signature(array: Any) -> Any:
    if array is None:
        return None
    if isinstance(array, np.ndarray):
        return weakref.ref(array)  # always the same object while the array lives
    if is_torch_tensor(array) and array.layout is sys.modules["torch"].strided:
        return (array.data_ptr(), *(column[0] for column in _properties([array])))
    if is_cupy_array(array):
        data = array.data
        return data.ptr, data.device_id, array.shape, array.strides, array.dtype
    return object()
