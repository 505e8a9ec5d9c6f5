"""Exact step counts behind torch's float32 ``step`` tensors, which round counts above 2**24."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from .state_values import count_in


class _Rounded(NamedTuple):
    """A step tensor that holds a rounded count, and its version when the count was written."""

    tensor: torch.Tensor
    version: int
    rounded: int
    exact: int


class StepCounts:
    """The counts that step tensors cannot represent: float32 has no odd integers above 2**24.

    A step tensor stands for the exact count it was written for, until it is changed.
    """

    def __init__(self, exact: Iterable[tuple[torch.Tensor, torch.Tensor, int]] = ()) -> None:
        """Start from what `exact` returned for this optimizer, or for the one it is a copy of."""
        self._rounded: dict[torch.Tensor, _Rounded] = {}
        for param, tensor, count in exact:
            self.note(param, tensor, count)

    def exact(self) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
        """Return the parameter, step tensor and exact count for each count that was rounded."""
        return [(param, known.tensor, known.exact) for param, known in self._rounded.items()]

    def note(self, param: torch.Tensor, tensor: torch.Tensor, count: int) -> None:
        """Record the count that was written to a step tensor, if the tensor had to round it."""
        rounded = _as_stored(count, tensor.dtype)
        self._rounded.pop(param, None)
        if rounded != count:
            self._rounded[param] = _Rounded(tensor, tensor._version, rounded, count)

    def read(self, param: torch.Tensor, own: Mapping[str, Any], name: str) -> int:
        """Return the exact step count in a parameter's states; synchronizes with its device.

        Args:
            param: the parameter.
            own: its states, with ``step``.
            name: the name of the parameter, for error messages.

        Raises:
            TypeError, ValueError: ``step`` is not a count.
        """
        count, tensor, known = count_in(own, name), own["step"], self._rounded.get(param)
        if known is None or tensor is not known.tensor or tensor._version != known.version:
            return count
        # A write through NumPy does not change the version.
        return known.exact if count == known.rounded else count


def _as_stored(count: int, dtype: torch.dtype) -> int:
    return int(np.float32(count)) if dtype is torch.float32 else int(float(count))
