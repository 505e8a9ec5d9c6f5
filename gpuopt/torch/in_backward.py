"""Optimizer steps inside the backward pass: each gradient is used and freed once it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch

from .coded import with_state
from .fused import Fused
from .state_dict_checks import check_state_dict


class StepInBackward:
    """Updates each parameter as soon as its gradient is complete, and frees the gradient.

    Only a few gradients are in memory at a time, and ``loss.backward()`` is the whole step. So
    there is no ``optimizer.step()`` for GradScaler to call, no clipping by the norm of all
    gradients, and no accumulation over several backward passes. A frozen parameter is updated as
    soon as it requires gradients again. Copies and pickles hook the parameters that are copied
    with them.

    Args:
        params: the parameters, or groups as dicts, as an optimizer takes them.
        optimizer: called with a list of one group, returns an optimizer: `gpuopt.torch.Adam`, say.
        options: of the optimizer; neither ``clip_norm`` nor ``skip_nonfinite``.

    Attributes:
        optimizers: one for each parameter, in order. A scheduler needs each of them.

    Raises:
        TypeError: ``optimizer`` is not callable, or does not return an optimizer; or ``params`` is
            a tensor.
        ValueError: a parameter is given twice, or an option needs all gradients at once.

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
        """Make an optimizer for each parameter, and hook them."""
        given: Any = optimizer
        if not callable(given):
            raise TypeError(
                "optimizer: expected a class such as gpuopt.torch.AdamW, followed by its options "
                f"(lr=1e-3), got an object of class {type(given).__name__}"
            )
        global_ones = [n for n in ("clip_norm", "skip_nonfinite") if options.get(n)]
        if global_ones:
            raise ValueError(
                f"{global_ones[0]}: needs all gradients at once, but a step in the backward pass "
                "has only one"
            )
        self.optimizers = [optimizer([group], **options) for group in _one_by_one(params)]
        if any(not isinstance(one, torch.optim.Optimizer) for one in self.optimizers):
            raise TypeError(
                "optimizer: expected a class of gpuopt.torch or torch.optim, or a function that "
                f"makes such an optimizer, got {given!r:.80}"
            )
        shared = [o for o in self.optimizers if isinstance(o, Fused) and o._definition.shared]
        if shared:
            raise ValueError(
                f"optimizer: {type(shared[0]).__name__} needs all gradients at once, but a step in "
                "the backward pass has only one"
            )
        for i, one in enumerate(self.optimizers):
            _take_seed(i, one)
        self._hooks = self._hook_all()

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles and deep copies have."""
        return {"optimizers": self.optimizers, "hooked": bool(self._hooks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hook the copied optimizers to their parameters, if the originals were hooked."""
        self.optimizers = state["optimizers"]
        self._hooks = self._hook_all() if state["hooked"] else []

    def state_dict(self, *, decoded: bool = True) -> dict[str, Any]:
        """Return the state dicts of all optimizers; those of drop-ins have codes or values."""
        options = {} if decoded else {"decoded": False}
        return {
            "optimizers": [
                one.state_dict(**options) if isinstance(one, Fused) else one.state_dict()
                for one in self.optimizers
            ]
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            TypeError, ValueError: it is something else, or of another number of parameters; nothing
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
            _check_one_parameter(i, own)
        for one, own in zip(self.optimizers, saved):
            if isinstance(one, Fused) and not one._optimizer_load_state_dict_pre_hooks:
                check_state_dict(one, own)
        for one, own in zip(self.optimizers, saved):
            one.load_state_dict(own)

    def remove(self) -> None:
        """Remove the hooks: backward passes keep gradients again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> StepInBackward:
        """Return this object; its hooks are removed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the hooks."""
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
    """Give an optimizer a seed of its own: with one parameter each, all would round alike.

    This does not depend on its options: a checkpoint may have states in 16 bits.
    """
    if isinstance(one, Fused):
        tail = one.tail
        one._tail = one._tail_at_first = replace(tail, seed=(tail.seed + i) % 2**32)


def _several(params: Any) -> Iterable[Any]:
    return [params] if isinstance(params, torch.Tensor) else params


def _hooked(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return the hook of an optimizer on its parameter; none if that can have no gradient."""

    def update(param: torch.Tensor) -> None:
        optimizer.step()
        param.grad = None

    (param,) = optimizer.param_groups[0]["params"]
    if not (param.is_floating_point() or param.is_complex()):
        return []
    frozen = not param.requires_grad
    try:
        param.requires_grad_(True)  # torch refuses to hook a frozen one
        return [param.register_post_accumulate_grad_hook(update)]
    finally:
        param.requires_grad_(not frozen)


def _check_one_parameter(i: int, saved: Any) -> None:
    """Check that a state dict at index ``i`` is one of a single parameter."""
    groups = saved.get("param_groups") if isinstance(saved, dict) else None
    if not groups or "state" not in with_state(saved):
        raise TypeError(f"state_dict: expected an optimizer's state dict at {i}, got {saved!r:.80}")
    counts = [len(group["params"]) for group in groups]
    if counts != [1]:
        raise ValueError(
            f"state_dict: expected one group of one parameter at {i}, got groups of {counts}"
        )
