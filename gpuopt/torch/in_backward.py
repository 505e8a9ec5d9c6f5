"""The optimizer inside the backward pass: each gradient is used, and freed, as it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch

from .fused import Fused
from .state_dict_checks import check_state_dict


class StepInBackward:
    """Updates each parameter as soon as its gradient is complete, and frees the gradient.

    There is never more than a few gradients in memory, and ``loss.backward()`` is the whole step:
    there is no ``optimizer.step()`` for GradScaler to call, no clipping by the norm of all
    gradients, and no accumulation over several backward passes. A frozen parameter is updated once
    it is thawed.
    Copies and pickles are hooked to the parameters that come with them.

    Args:
        params: the parameters, or groups as dicts, as an optimizer takes them; each once.
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
        given: Any = optimizer
        if not callable(given):
            name = type(given).__name__
            raise TypeError(
                "optimizer: expected what makes one, such as gpuopt.torch.AdamW, with its options "
                f"behind it (lr=1e-3), got one that is made: an object of {name}"
            )
        global_ones = [n for n in ("clip_norm", "skip_nonfinite") if options.get(n)]
        if global_ones:
            raise ValueError(
                f"{global_ones[0]}: it needs all gradients at once, and a step in the backward "
                "pass has one"
            )
        self.optimizers = [optimizer([group], **options) for group in _one_by_one(params)]
        if any(not isinstance(one, torch.optim.Optimizer) for one in self.optimizers):
            raise TypeError(
                "optimizer: expected what makes an optimizer of gpuopt.torch or torch.optim, "
                f"got {given!r:.80}"
            )
        for i, one in enumerate(self.optimizers):
            _take_seed(i, one)
        self._hooks = self._hook_all()

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy take along."""
        return {"optimizers": self.optimizers, "hooked": bool(self._hooks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hook the copied optimizers to their parameters, if the others were."""
        self.optimizers = state["optimizers"]
        self._hooks = self._hook_all() if state["hooked"] else []

    def state_dict(self) -> dict[str, Any]:
        """Return the state dicts of all optimizers."""
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            TypeError, ValueError: it is no such thing, or of another number of parameters; nothing
                has been changed.
        """
        saved = state_dict.get("optimizers") if isinstance(state_dict, dict) else None
        if not isinstance(saved, list):
            raise TypeError("state_dict: expected what StepInBackward.state_dict() returned")
        if len(saved) != len(self.optimizers):
            raise ValueError(
                f"state_dict: expected {len(self.optimizers)} optimizers, got {len(saved)}"
            )
        for i, own in enumerate(saved):
            _check_of_one_parameter(i, own)
        for one, own in zip(self.optimizers, saved):
            if isinstance(one, Fused) and not one._optimizer_load_state_dict_pre_hooks:
                check_state_dict(one, own)
        for one, own in zip(self.optimizers, saved):
            one.load_state_dict(own)

    def remove(self) -> None:
        """Take the hooks away: backward passes leave gradients again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

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

    def _hook_all(self) -> list[Any]:
        return [hook for one in self.optimizers for hook in _hooked(one)]


def _one_by_one(params: Iterable[Any]) -> list[dict[str, Any]]:
    """Return a group for each parameter.

    Raises:
        TypeError: a tensor is given in place of an iterable.
        ValueError: a parameter is given twice.
    """
    if isinstance(params, torch.Tensor):
        raise TypeError(f"params: expected an iterable of tensors or dicts, got {params.type()}")
    listed = list(params)
    grouped = bool(listed) and isinstance(listed[0], dict)
    groups = [
        {**group, "params": [param]}
        for group in (listed if grouped else [{"params": listed}])
        for param in _several(group["params"])
    ]
    given = [id(p[1] if isinstance(p, tuple) else p) for group in groups for p in group["params"]]
    if len(set(given)) != len(given):
        raise ValueError("params: a parameter is given twice")
    return groups


def _take_seed(i: int, one: torch.optim.Optimizer) -> None:
    """Give one optimizer a seed of its own: each is alone, and would round as the first one.

    Whatever its options are: a checkpoint may bring states in 16 bits.
    """
    if isinstance(one, Fused):
        tail = one.tail
        one._tail = one._tail_at_first = replace(tail, seed=(tail.seed + i) % 2**32)


def _several(params: Any) -> Iterable[Any]:
    return [params] if isinstance(params, torch.Tensor) else params


def _hooked(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Hook an optimizer to its parameter; not to one that can never have a gradient."""

    def update(param: torch.Tensor) -> None:
        optimizer.step()
        param.grad = None

    (param,) = optimizer.param_groups[0]["params"]
    if not (param.is_floating_point() or param.is_complex()):
        return []
    frozen = not param.requires_grad
    try:
        param.requires_grad_(True)  # torch hooks no other
        return [param.register_post_accumulate_grad_hook(update)]
    finally:
        param.requires_grad_(not frozen)


def _check_of_one_parameter(i: int, saved: Any) -> None:
    groups = saved.get("param_groups") if isinstance(saved, dict) else None
    if not groups or "state" not in saved:
        raise TypeError(f"state_dict: expected an optimizer's state dict at {i}, got {saved!r:.80}")
    counts = [len(group["params"]) for group in groups]
    if counts != [1]:
        raise ValueError(
            f"state_dict: expected one group of one parameter at {i}, got groups of {counts}"
        )
