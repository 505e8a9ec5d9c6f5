"""Convert state dicts of the authors' DAdaptAdam and Prodigy for the drop-ins.

The authors store the estimates in the groups; here, each parameter's state has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .foreign_states import parts_of
from .missing_options import drop_in_of, name_of
from .param_groups import CheckedParamGroups


def from_dadaptation(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of dadaptation's DAdaptAdam to one that `DAdaptAdam` can load.

    ``d0`` is the optimizer's, since theirs is not saved. dadaptation need not be installed.

    Args:
        state_dict: one of dadaptation.DAdaptAdam, version 3.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    return _converted(state_dict, optimizer, "DAdaptAdam")


def from_prodigyopt(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of prodigyopt's Prodigy to one that `Prodigy` can load.

    prodigyopt need not be installed.

    Args:
        state_dict: one of prodigyopt.Prodigy, version 1.1, with ``slice_p=1``.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    return _converted(state_dict, optimizer, "Prodigy")


def _converted(state_dict: Any, optimizer: Any, name: str) -> dict[str, Any]:
    if not isinstance(optimizer, CheckedParamGroups):
        raise TypeError(f"optimizer: expected one of gpuopt.torch, got {type(optimizer).__name__}")
    if drop_in_of(optimizer).__name__ != name:
        raise ValueError(f"optimizer: expected {name}, got {name_of(optimizer)}")
    states, groups = parts_of(state_dict)
    shared = optimizer._definition.shared
    missing = [number for number in shared if groups and number not in groups[0]]
    if missing:
        raise ValueError(f"state_dict: expected that of {name}, got groups without {missing[0]!r}")
    if any(group.get("slice_p", 1) != 1 for group in groups):
        raise ValueError("state_dict: expected slice_p=1: the sums here are of all elements")
    numbers = {number: float(groups[0][number]) for number in shared} if groups else {}
    rules = optimizer._definition.all_rules
    names = dict.fromkeys(state for rule in rules for state in rule.states)
    ours = [{n: v for n, v in g.items() if n != "params"} for g in optimizer.param_groups]
    ours += ours[-1:] * len(groups)  # loading reports that there are too many
    return {
        "state": {
            key: {**_arrays(key, held, names), **numbers, "step": held["step"]}
            for key, held in states.items()
            if held
        },
        "param_groups": [{**a, **_known(a, b)} for a, b in zip(ours, groups)],
    }


def _known(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what our group takes from theirs: options with the same names, and its parameters."""
    return {n: v for n, v in theirs.items() if n in (*ours, "params", "initial_lr")}


def _arrays(key: Any, held: Mapping[str, Any], names: Mapping[str, None]) -> dict[str, Any]:
    """Return the states of a parameter in its shape; 16-bit states become float32.

    Prodigy's ``s`` and ``p0`` are flat, a ``p0`` of zeros has a single element, and without beta1
    there is no average.
    """
    like, step = held.get("exp_avg_sq"), held.get("step")
    if (
        not isinstance(like, torch.Tensor)
        or step is None
        or not names.keys() - held.keys() <= {"exp_avg"}
    ):
        expected = ", ".join(("step", *names))
        raise ValueError(f"state of {key!r}: expected {expected}, got {', '.join(map(str, held))}")
    found = {name: held.get(name, torch.zeros_like(like)) for name in names}
    wide = torch.promote_types(like.dtype, torch.float32)
    return {
        name: (
            state.reshape(like.shape) if state.numel() == like.numel() else state.expand_as(like)
        ).to(wide)
        for name, state in found.items()
    }
