"""Unwrap an optimizer from a framework's wrapper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .fused import Fused
from .in_backward import StepInBackward

_INSIDE = ("_optimizer", "optimizer", "optim", "optimizers")
"""The attributes in which wrappers store what they wrap.

Lightning's and Fabric's wrappers, which pretend to be of the optimizer's class, use the first;
Accelerate, schedulers and Hugging Face's Trainer the second; ZeroRedundancyOptimizer and
PostLocalSGDOptimizer the third; Lightning's Trainer and torchtitan's container the last, a list.
"""


def of(wrapper: Any) -> Any:
    """Return the optimizer of gpuopt.torch that a framework has wrapped, itself or at any depth.

    Supported are Accelerate's AcceleratedOptimizer, Lightning's and Fabric's optimizers,
    ZeroRedundancyOptimizer, learning rate schedulers, and the Trainers of Hugging Face and
    Lightning.

    Args:
        wrapper: one of these, or an optimizer of gpuopt.torch.

    Returns:
        A drop-in, or a `StepInBackward`.

    Raises:
        TypeError: there is none inside; the message names what was found.
        ValueError: there are several.

    >>> import gpuopt.torch, torch
    >>> opt = gpuopt.torch.SGD([torch.ones(2, requires_grad=True)], lr=0.5)
    >>> scheduler = torch.optim.lr_scheduler.StepLR(opt, 1)
    >>> gpuopt.torch.of(scheduler) is opt
    True
    """
    seen: dict[int, Any] = {}
    found = list(_search(wrapper, seen))
    if len(found) > 1:
        names = ", ".join(type(one).__name__ for one in found)
        raise ValueError(f"wrapper: expected one optimizer inside, got {len(found)}: {names}")
    if not found:
        names = " around ".join(f"{type(o).__module__}.{type(o).__name__}" for o in seen.values())
        raise TypeError(
            "wrapper: expected an optimizer of gpuopt.torch, or what Accelerate, Lightning, Fabric "
            f"or ZeroRedundancyOptimizer has made of one, got {names}"
        )
    return found[0]


def _search(one: Any, seen: dict[int, Any]) -> Iterator[Any]:
    if id(one) in seen:
        return
    seen[id(one)] = one  # kept alive, so that no other object gets its id
    if isinstance(one, (Fused, StepInBackward)) and "_optimizer" not in vars(one):
        yield one
        return
    for name in _INSIDE:
        inner = getattr(one, name, None)
        if inner is not None and not callable(inner):
            for each in inner if isinstance(inner, (list, tuple)) else [inner]:
                yield from _search(each, seen)
            return
