"""A training step in torch's fastest calls, as a user would write it.

It uses the calls of `clip_grad_norm_` with ``foreach=True``, a fused optimizer, and
`torch._foreach_lerp_` for the EMA; for bfloat16 parameters, float32 master weights that
`torch._foreach_copy_` converts. Clipping like torch's GradScaler is faster than rewriting the
gradients: the fused optimizer divides by its ``grad_scale`` as it reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..buffers import import_torch


@dataclass(frozen=True)
class TorchTail:
    """The options of a step besides the update.

    Attributes:
        clip_norm: the largest norm of all gradients together.
        in_step: clip by the optimizer's ``grad_scale``.
        ema_decay: the decay of the weights' average.
        skip_nonfinite: change nothing if the norm is infinite or NaN.
        stats: norms and largest values of each gradient, update and weight.
        zero_grads: write zeros into the gradients.
    """

    clip_norm: float | None = None
    in_step: bool = False
    ema_decay: float | None = None
    skip_nonfinite: bool = False
    stats: bool = False
    zero_grads: bool = False

    def bytes(self, dtype: str) -> int:
        """Return the bytes per element that the calls move, with AdamW or Adam.

        >>> TorchTail().bytes("float32"), TorchTail().bytes("bfloat16")
        (28, 40)
        >>> TorchTail(clip_norm=1.0, ema_decay=0.9).bytes("bfloat16")
        64
        """
        narrow = dtype == "bfloat16"
        return sum(
            (
                28 + 12 * narrow,  # the update; gradients to float32, weights to bfloat16
                4 * (self.clip_norm is not None),
                (4 if self.in_step else 8) * (self.clip_norm is not None),  # the update reads them
                12 * (self.ema_decay is not None),
                (8 + 12 + 5 * 4) * self.stats,  # a copy, a difference, reductions but for the norm
                (2 if narrow else 4) * self.zero_grads,
            )
        )


class TorchCalls:
    """Parameters, and the calls that update them.

    Attributes:
        params: the parameters with their gradients.
        masters: the float32 weights of bfloat16 parameters; otherwise the parameters.
        emas: the averages of the weights.
        stats: norms and largest values in the last step: of gradients, updates and weights.
        skipped: the number of skipped steps.
    """

    def __init__(
        self, params: list[Any], optimizer: Callable[[list[Any]], Any], average: bool = False
    ) -> None:
        """Create the masters, their optimizer, and averages if wanted."""
        self._torch = torch = import_torch()
        self.params = self.masters = params
        if params and params[0].dtype == torch.bfloat16:
            self.masters = [torch.nn.Parameter(p.detach().float()) for p in params]
            for master in self.masters:
                master.grad = torch.empty_like(master)
        self.emas = [m.detach().clone() for m in self.masters] if average else []
        self._optimizer = optimizer(self.masters)
        self._before: list[Any] = []
        self.stats: list[list[Any]] = []
        self.skipped = 0

    def step(self, tail: TorchTail) -> None:
        """Clip, update and average, as the tail says."""
        torch, narrow = self._torch, self.masters is not self.params
        grads = [p.grad for p in self.params]
        with torch.no_grad():
            if narrow:
                torch._foreach_copy_([m.grad for m in self.masters], grads)
            if self._clip(tail):
                self._update(tail, narrow)
            else:
                self.skipped += 1
            if tail.zero_grads:
                torch._foreach_zero_(grads)

    def _clip(self, tail: TorchTail) -> bool:
        """Clip the gradients; return whether the step is to be taken."""
        torch, grads = self._torch, [m.grad for m in self.masters]
        if tail.stats:
            self.stats = [self._reduced(grads)]
        if tail.clip_norm is None:
            return True
        norms = self.stats[0][0] if tail.stats else torch._foreach_norm(grads)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        if tail.in_step:
            self._optimizer.grad_scale = ((norm + 1e-6) / tail.clip_norm).clamp(min=1.0)
            self._optimizer.found_inf = torch.zeros_like(norm)
        else:
            self._optimizer.grad_scale = self._optimizer.found_inf = None
            torch.nn.utils.clip_grads_with_norm_(self.masters, tail.clip_norm, norm, foreach=True)
        return not tail.skip_nonfinite or bool(norm.isfinite())

    def _update(self, tail: TorchTail, narrow: bool) -> None:
        torch = self._torch
        if tail.stats:
            self._before = self._before or [torch.empty_like(m) for m in self.masters]
            torch._foreach_copy_(self._before, self.masters)
        self._optimizer.step()
        if tail.ema_decay is not None:
            torch._foreach_lerp_(self.emas, self.masters, 1.0 - tail.ema_decay)
        if narrow:
            torch._foreach_copy_(self.params, self.masters)
        if tail.stats:
            torch._foreach_sub_(self._before, self.masters)
            self.stats += [self._reduced(self._before), self._reduced(self.masters)]

    def _reduced(self, tensors: Sequence[Any]) -> list[Any]:
        """Return the norms and the largest values of tensors."""
        torch = self._torch
        norms = torch._foreach_norm(tensors)
        if tensors[0].is_cuda:
            return [norms, torch._foreach_norm(tensors, float("inf"))]
        # on the CPU this takes 16 times as long as reading the data
        lows, highs = zip(*map(torch.aminmax, tensors))
        return [norms, torch.maximum(torch.stack(highs), -torch.stack(lows)).unbind()]
