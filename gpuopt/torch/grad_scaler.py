"""torch's GradScaler: the step applies its scale and ``found_inf`` without synchronizing."""

from __future__ import annotations

from typing import Any

import torch

from ..arrays import scalars
from ..engine.tail import Tail
from ..optimizers.plan import seen
from .shared_attributes import Shared


class GradScalerSupport(torch.optim.Optimizer):
    """GradScaler's interface for optimizers that unscale gradients and skip steps themselves.

    For one step GradScaler sets two attributes, ``grad_scale`` and ``found_inf``.
    """

    _tail: Any
    _norm_group: Any

    _step_supports_amp_scaling = Shared(False)
    """Whether GradScaler leaves unscaling and skipping to the step, as with torch's ``fused=True``.

    Otherwise it unscales the gradients, and does not call ``step`` if one overflowed.
    """

    _last_grad_scale = Shared()
    """A fingerprint of the last ``grad_scale``, its reciprocal, and the tensor itself."""

    def _runs_when_skipped(self) -> bool:
        """Whether ``step`` must be called even if the step is skipped.

        It then measures or zeroes gradients, or takes part in collectives.
        """
        tail: Tail = self._tail
        return tail.measures or tail.zero_grads or self._norm_group is not None

    def _grad_factor(self) -> Any:
        """Return the factor of the gradients; does not synchronize with a scale on a device."""
        scale = getattr(self, "grad_scale", None)
        if scale is None:
            return 1.0
        last: tuple[Any, Any, Any] | None = self._last_grad_scale
        seen_now = seen(scale)
        if last is None or last[0] != seen_now:
            inverse = scale.detach().double().reciprocal()
            factor = scalars.value_of(inverse) if scalars.on_host(inverse) else inverse
            last = self._last_grad_scale = seen_now, factor, scale  # kept, so that its id is unique
        return last[1]

    def _found_inf(self) -> torch.Tensor | None:
        """Return the flag that skips the step, if GradScaler has set one."""
        flag = getattr(self, "found_inf", None)
        return flag if isinstance(flag, torch.Tensor) else None  # 0 without any gradient
