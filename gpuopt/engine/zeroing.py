"""Zeroing of gradients: by the kernels of a step, or by the host if no kernel is launched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import fill, is_torch_tensor, mark_written


class Zeroing:
    """Zeroes the gradients of an optimizer whose tail has ``zero_grads``."""

    def __init__(self, wanted: bool) -> None:
        """Do nothing unless it is ``wanted``."""
        self._wanted = wanted

    def zero(self, grads: Sequence[Any]) -> None:
        """Write zeros over the gradients that are not None."""
        if self._wanted:
            for grad in grads:
                if grad is not None:
                    fill(grad, 0.0)
            self.mark(grads)

    def mark(self, grads: Sequence[Any]) -> None:
        """Tell autograd that kernels have zeroed these gradients."""
        if self._wanted:
            mark_written([grad for grad in grads if grad is not None and is_torch_tensor(grad)])
