"""The optimizer inside the backward pass: each gradient is used, and freed, as it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch


class StepInBackward:
    """Updates each parameter as soon as its gradient is complete, and frees the gradient.

    There is never more than a few gradients in memory, and ``loss.backward()`` is the whole step:
    there is no ``optimizer.step()``, no clipping by the norm of all gradients, and no
    accumulation over several backward passes.

    Args:
        params: the parameters, or groups as dicts, as an optimizer takes them.
        optimizer: makes an optimizer from a list of one group, such as `gpuopt.torch.Adam`.
        options: of the optimizer; neither ``clip_norm`` nor ``skip_nonfinite``.

    Attributes:
        optimizers: one for each parameter, in their order; schedulers may be put on each.

    >>> from gpuopt.torch import SGD
    >>> w = torch.ones(2, requires_grad=True)
    >>> with StepInBackward([w], SGD, lr=0.25):
    ...     (w * w).sum().backward()
    >>> w.tolist(), w.grad
    ([0.5, 0.5], None)
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Callable[..., torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        """Hook the optimizers to the parameters."""
        global_ones = [n for n in ("clip_norm", "skip_nonfinite") if options.get(n)]
        if global_ones:
            raise ValueError(
                f"{global_ones[0]}: it needs all gradients at once, and a step in the backward "
                "pass has one"
            )
        listed = list(params)
        grouped = bool(listed) and isinstance(listed[0], dict)
        groups = listed if grouped else [{"params": listed}]
        self.optimizers = [
            optimizer([{**group, "params": [param]}], **options)
            for group in groups
            for param in group["params"]
        ]
        self._hooks = [self._hook(one) for one in self.optimizers]

    def state_dict(self) -> dict[str, Any]:
        """Return the state dicts of all optimizers."""
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: it is of another number of parameters.
        """
        saved = state_dict["optimizers"]
        if len(saved) != len(self.optimizers):
            raise ValueError(
                f"state_dict: expected {len(self.optimizers)} optimizers, got {len(saved)}"
            )
        for one, own in zip(self.optimizers, saved):
            one.load_state_dict(own)

    def remove(self) -> None:
        """Take the hooks away: backward passes leave gradients again."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> StepInBackward:
        """Stay hooked inside the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the hooks away."""
        self.remove()

    @staticmethod
    def _hook(optimizer: torch.optim.Optimizer) -> Any:
        def update(param: torch.Tensor) -> None:
            optimizer.step()
            param.grad = None

        (param,) = optimizer.param_groups[0]["params"]
        return param.register_post_accumulate_grad_hook(update)
