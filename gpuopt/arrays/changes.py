"""Which arrays are not where they were, in as little host time as can be.

A NumPy array stays where it is as long as it lives. A torch tensor does not (``p.data = ...``),
so its address and layout are looked at in every step: memory that was freed in between may come
back at the same address for fewer or other elements. Of arrays of other libraries nothing is
known.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np

from . import is_cupys, is_torchs


@dataclass(frozen=True)
class Snapshot:
    """What was seen of a list of arrays.

    Attributes:
        places: of the torch tensors, if all that are there are torch tensors; None: all places.
        addresses: theirs.
        layout: theirs, or None if there are other arrays.
        signatures: one of each array, if there are others.
        still: whether the signatures are references to NumPy arrays, all of them.
    """

    places: list[int] | None = None
    addresses: Sequence[int] = ()
    layout: Layout | None = None
    signatures: list[Any] | None = None
    still: bool = False

    def rows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield each tensor's place, and its address and layout."""
        assert self.layout is not None
        places = range(len(self.addresses)) if self.places is None else self.places
        return zip(places, zip(self.addresses, *self.layout.columns))


@dataclass(frozen=True)
class Moves:
    """What differs between two snapshots.

    Attributes:
        changed: places of arrays that came, went, or are of another layout.
        moved: places of torch tensors that only lie elsewhere.
        addresses: where these lie.
    """

    changed: Sequence[int] = ()
    moved: Sequence[int] = ()
    addresses: Sequence[int] = ()


class Layout:
    """Strides, dtypes, shapes and devices of torch tensors, to be compared with later ones.

    Attributes:
        columns: one list of each property.
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        """Read the properties."""
        self.columns = _properties(tensors)
        self._guards = _guards(tensors)

    def fits(self, tensors: Sequence[Any]) -> bool:
        """Whether these tensors are all laid out like those; it may doubt it without reason."""
        if self._guards is not None:
            return bool(self._guards.check(*tensors))
        return _properties(tensors) == self.columns


def detect_changes(arrays: Sequence[Any], last: Snapshot | None = None) -> tuple[Snapshot, Moves]:
    """Return what is seen, and what is not where or what it was.

    Args:
        arrays: arrays of any library, or None.
        last: what was seen the last time; nothing, if None.
    """
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
        return snapshot, _compare(snapshot, last, len(arrays))
    snapshot = Snapshot(places, addresses, known)
    if addresses == last.addresses:
        return snapshot, Moves()
    pairs = enumerate(zip(addresses, last.addresses))
    moved = [k for k, (now, before) in pairs if now != before]
    there = moved if places is None else [places[k] for k in moved]
    return snapshot, Moves((), there, [addresses[k] for k in moved])


def _compare(snapshot: Snapshot, last: Snapshot | None, count: int) -> Moves:
    if last is None or last.layout is None:
        return Moves(range(count))
    rows, before = dict(snapshot.rows()), dict(last.rows())
    differ = [i for i in range(count) if rows.get(i) != before.get(i)]
    moved = [i for i in differ if i in rows and i in before and rows[i][1:] == before[i][1:]]
    only_moved = set(moved)
    changed = [i for i in differ if i not in only_moved]
    return Moves(changed, moved, [rows[i][0] for i in moved])


def _addresses(arrays: Sequence[Any]) -> list[int] | None:
    """Return the addresses of torch tensors, or None if there is anything else."""
    torch: Any = sys.modules.get("torch")
    try:
        return list(map(torch.Tensor.data_ptr, arrays))
    except (AttributeError, RuntimeError, TypeError):  # no torch; a sparse tensor; others, None
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
    """Return torch's own check of many tensors at once, or None if this torch has none.

    It compares what `_properties` lists, and what autograd does with the tensors, in C++: a
    quarter of the time. It is not a public part of torch, so nothing rests on its being there.
    """
    try:
        from torch._C._dynamo.guards import TensorGuards

        return TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)
    except Exception:  # whatever another version of torch makes of it
        return None


def _detect_each(arrays: Sequence[Any], last: Snapshot | None) -> tuple[Snapshot, Moves]:
    if last is not None and last.still and _are(arrays, last.signatures):
        return last, Moves()
    signatures = [_signature(array) for array in arrays]
    still = all(isinstance(s, weakref.ref) for s in signatures)
    snapshot = Snapshot(signatures=signatures, still=still)
    if last is None or last.signatures is None:
        return snapshot, Moves(range(len(arrays)))
    if all(map(is_, signatures, last.signatures)):
        return snapshot, Moves()
    pairs = enumerate(zip(signatures, last.signatures))
    differ = [i for i, (a, b) in pairs if a is not b and (type(a) is not tuple or a != b)]
    return snapshot, Moves(differ)


def _are(arrays: Sequence[Any], references: Sequence[Any] | None) -> bool:
    """Whether these are the very arrays that are referred to."""
    try:
        return all(map(is_, map(weakref.ref, arrays), references or ()))
    except TypeError:  # None has no references
        return False


def _signature(array: Any) -> Any:
    if array is None:
        return None
    if isinstance(array, np.ndarray):
        return weakref.ref(array)  # one object for all references to one array, while it lives
    if is_torchs(array) and array.layout is sys.modules["torch"].strided:
        return (array.data_ptr(), *(column[0] for column in _properties([array])))
    if is_cupys(array):
        data = array.data
        return data.ptr, data.device_id, array.shape, array.strides, array.dtype
    return object()
