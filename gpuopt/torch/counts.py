"""Step counts in a state: torch's float32 tensors, and the exact counts behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from .state_values import count_in


class _Shown(NamedTuple):
    """A tensor that shows a count: rounded, and of the version that was written."""

    tensor: torch.Tensor
    version: int
    rounded: int
    exact: int


class Counts:
    """The counts that an optimizer's step tensors cannot hold: float32 has no odd ones from 2**24.

    As long as nobody changes such a tensor, it stands for the count that it was made for.
    """

    def __init__(self, exact: Iterable[tuple[torch.Tensor, torch.Tensor, int]] = ()) -> None:
        """Take what `exact` returned, of the same optimizer or of a copied one."""
        self._shown: dict[torch.Tensor, _Shown] = {}
        for param, tensor, count in exact:
            self.note(param, tensor, count)

    def exact(self) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
        """Return those that are rounded: the parameter, its step tensor and the count."""
        return [(param, shown.tensor, shown.exact) for param, shown in self._shown.items()]

    def note(self, param: torch.Tensor, tensor: torch.Tensor, count: int) -> None:
        """Remember which count a tensor shows, if it shows another."""
        rounded = _rounded(count, tensor.dtype)
        self._shown.pop(param, None)
        if rounded != count:
            self._shown[param] = _Shown(tensor, tensor._version, rounded, count)

    def read(self, param: torch.Tensor, own: Mapping[str, Any], whose: str) -> int:
        """Return the step count of a parameter's states; waits for its device.

        Raises:
            TypeError, ValueError: it is none.
        """
        count, tensor, shown = count_in(own, whose), own["step"], self._shown.get(param)
        if shown is None or tensor is not shown.tensor or tensor._version != shown.version:
            return count
        return shown.exact if count == shown.rounded else count  # NumPy may have written there


def _rounded(count: int, dtype: torch.dtype) -> int:
    return int(np.float32(count)) if dtype is torch.float32 else int(float(count))
