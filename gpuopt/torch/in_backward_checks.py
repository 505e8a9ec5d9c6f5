"""Checks of the arguments of `StepInBackward`: parameters, optimizer, options."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from .arguments import check_no_duplicates
from .fused import Fused

_NEED_ALL = ("clip_norm", "skip_nonfinite")
"""Options that need the gradients of all parameters at once."""

_FOLLOW_PARAMS = ("ema_decay", "master_weights", "kahan_sum")
"""Options whose states depend on the updated parameter."""

_FOLLOW_UPDATES = frozenset({"acc_delta", "ax", "prev", "step_size"})
"""States that do not depend on gradients alone: Adadelta's, ASGD's and Rprop's."""


def checked_groups(params: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the groups of parameters as dicts, each with its own list.

    Raises:
        TypeError: a tensor is given in place of an iterable.
        ValueError: a parameter is given twice.
        RuntimeError: one is FSDP1's.
    """
    if isinstance(params, torch.Tensor):
        raise TypeError(f"params: expected an iterable of tensors or dicts, got {params.type()}")
    listed = list(params)
    grouped = bool(listed) and isinstance(listed[0], dict)
    groups = [
        {**group, "params": _several(group["params"])}
        for group in (listed if grouped else [{"params": listed}])
    ]
    given = [p[1] if isinstance(p, tuple) else p for group in groups for p in group["params"]]
    check_no_duplicates(given)
    if any(getattr(p, "_is_flat_param", getattr(p, "_fsdp_flattened", False)) for p in given):
        raise RuntimeError(
            "params: FullyShardedDataParallel's parameters have no gradient at which a step could "
            "be taken; use FSDP2 (torch.distributed.fsdp.fully_shard)"
        )
    return groups


def _several(params: Any) -> list[Any]:
    return [params] if isinstance(params, torch.Tensor) else list(params)


def checked_optimizer(
    optimizer: Callable[..., Any], groups: Sequence[dict[str, Any]], options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Return an optimizer over all parameters, which has checked the options.

    Raises:
        TypeError: ``optimizer`` does not return one.
        ValueError: the optimizer, or an option, needs all gradients at once.
    """
    if not callable(optimizer):
        raise TypeError(
            "optimizer: expected a class such as gpuopt.torch.AdamW, followed by its options "
            f"(lr=1e-3), got an object of class {type(optimizer).__name__}"
        )
    global_ones = [name for name in _NEED_ALL if options.get(name)]
    if global_ones:
        raise ValueError(
            f"{global_ones[0]}: needs all gradients at once, but a step in the backward pass has "
            "only one; clip_value and StableAdamW do without"
        )
    whole = optimizer(groups, **options)
    if not isinstance(whole, torch.optim.Optimizer):
        raise TypeError(
            "optimizer: expected a class of gpuopt.torch or torch.optim, or a function that "
            f"makes such an optimizer, got {optimizer!r:.80}"
        )
    if isinstance(whole, Fused) and whole._definition.shared:
        raise ValueError(
            f"optimizer: {type(whole).__name__} needs all gradients at once, but a step in the "
            "backward pass has only one"
        )
    return whole


def check_moments(whole: torch.optim.Optimizer) -> None:
    """Check that an optimizer's states can accumulate gradients, for ``"moments"``.

    Raises:
        ValueError: they cannot.
    """
    name = f"accumulation: 'moments' of {type(whole).__name__}"
    if not isinstance(whole, Fused):
        raise ValueError(f"{name}: expected a class of gpuopt.torch; 'exact' takes any")
    kept = [option for option in _FOLLOW_PARAMS if getattr(whole.tail, option)]
    if kept:
        raise ValueError(
            f"{name}: {kept[0]} follows every step, and most only accumulate; use 'exact'"
        )
    for group in whole.param_groups:
        rule = whole._rule_for(group)
        if not rule.states:
            raise ValueError(f"{name}: it has no state to accumulate in; use 'exact'")
        follow = _FOLLOW_UPDATES.intersection(rule.states).union(rule.copies)
        if follow:
            raise ValueError(
                f"{name}: {sorted(follow)[0]} is not an average of gradients; use 'exact'"
            )


def check_no_ddp(params: Sequence[torch.Tensor]) -> None:
    """Check that no DistributedDataParallel has these parameters.

    A parameter has no reference to it, so all objects of the process are searched if
    torch.distributed is initialized.

    Raises:
        RuntimeError: one has; nothing has been changed.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    from torch.nn.parallel import DistributedDataParallel

    own = set(map(id, params))
    for each in gc.get_objects():
        # type(), since isinstance would trigger lazy proxies
        replicated = issubclass(type(each), DistributedDataParallel)
        if replicated and any(id(p) in own for p in each.parameters()):
            raise RuntimeError(
                "params: DistributedDataParallel keeps all gradients until the backward pass ends, "
                "and only then are they those of all processes; use FSDP2 "
                "(torch.distributed.fsdp.fully_shard), or the optimizer itself"
            )
