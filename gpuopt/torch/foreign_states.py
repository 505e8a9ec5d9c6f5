"""Convert state dicts of other libraries' 8-bit optimizers for torch.optim and the drop-ins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import torch

from .missing_options import drop_in_of, name_of
from .param_groups import CheckedParamGroups
from .shards import is_dtensor

_STATES = {
    "Adam": ("exp_avg", "exp_avg_sq"),
    "AdamW": ("exp_avg", "exp_avg_sq"),
    "Lion": ("exp_avg",),
    "SGD": ("momentum_buffer",),
    "RMSprop": ("square_avg",),
    "Adagrad": ("sum",),
}
"""The states that bitsandbytes calls ``state1`` and ``state2``."""

_OPTIONS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "Adam": {"betas": lambda betas: tuple(betas[:2])},
    "AdamW": {"betas": lambda betas: tuple(betas[:2])},
    "Lion": {"betas": lambda betas: tuple(betas[:2])},
    "SGD": {"momentum": lambda betas: betas[0]},
    "RMSprop": {"alpha": lambda betas: betas[0]},
    "Adagrad": {},
}
"""The options derived from its ``betas``, which all of its classes have."""

_BLOCKS = (256, 2048)
"""Elements with one ``absmax``; 2048 before its version 0.45."""

_WRAPPED = "__bnb_optimizer_quant_state__"


def from_bitsandbytes(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of bitsandbytes to one that a drop-in can load.

    8-bit states are decoded to float32; under ``state_dtype="8bit"``, the next step encodes them
    again in its own format. bitsandbytes need not be installed. The groups take lr, betas
    (momentum, alpha), eps and weight_decay from the state dict, and other options from the
    optimizer.

    Args:
        state_dict: one of Adam, AdamW, Lion, SGD, RMSprop or Adagrad, in 8 bits blockwise or 32
            bits.
        optimizer: the drop-in of the same name that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    drop_in, own = known_drop_in(optimizer, _STATES)
    states, groups = parts_of(state_dict)
    counted = drop_in._definition.counts_steps
    found = {key: _decoded(key, held, _STATES[own], counted) for key, held in states.items()}
    options = [{**_options(own, group), "params": group["params"]} for group in groups]
    ours = options_of_groups(optimizer, len(groups))
    return {"state": found, "param_groups": [{**a, **b} for a, b in zip(ours, options)]}


def from_torchao(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a state dict of torchao's low-bit Adam or AdamW to one of torch.optim's.

    8-bit, 4-bit and float8 states are decoded to float32, and an lr that is a tensor becomes a
    number. torchao must be installed, because its tensor classes decode themselves.

    Raises:
        TypeError, ValueError: it is not a state dict.
    """
    states, groups = parts_of(state_dict)
    return {
        "state": {
            key: {name: _plain(value) for name, value in held.items()}
            for key, held in states.items()
        },
        "param_groups": [
            {n: float(v) if isinstance(v, torch.Tensor) else v for n, v in group.items()}
            for group in groups
        ],
    }


def known_drop_in(
    optimizer: Any, known: Collection[str], refused: Mapping[str, str] = MappingProxyType({})
) -> tuple[CheckedParamGroups, str]:
    """Return a drop-in that a converter knows, and its name.

    Args:
        optimizer: the drop-in.
        known: the names that it may have.
        refused: why others cannot be converted, by name.

    Raises:
        TypeError, ValueError: it is no drop-in, or has another name.
    """
    if not isinstance(optimizer, CheckedParamGroups):
        raise TypeError(f"optimizer: expected one of gpuopt.torch, got {type(optimizer).__name__}")
    name: str = drop_in_of(optimizer).__name__
    if name not in known:
        one_of = "one of " if len(known) > 1 else ""
        why = f": {refused[name]}" if name in refused else ""
        raise ValueError(
            f"optimizer: expected {one_of}{', '.join(known)}, got {name_of(optimizer)}{why}"
        )
    return optimizer, name


def options_of_groups(optimizer: torch.optim.Optimizer, count: int) -> list[dict[str, Any]]:
    """Return the options of at least ``count`` groups, without their parameters.

    The last group's are repeated: loading reports that there are too many groups.
    """
    ours = [{n: v for n, v in g.items() if n != "params"} for g in optimizer.param_groups]
    return ours + ours[-1:] * count


def parts_of(state_dict: Any) -> tuple[Mapping[Any, Any], list[Mapping[str, Any]]]:
    """Return the states and the groups of a state dict; raise if it is not one."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
    states, groups = state_dict.get("state"), state_dict.get("param_groups")
    whole = isinstance(states, Mapping) and isinstance(groups, list)
    if not whole or not all(isinstance(held, Mapping) for held in (*states.values(), *groups)):  # type: ignore[union-attr, misc]
        raise ValueError("state_dict: expected 'state', a dict of dicts, and a list of groups")
    return states, groups  # type: ignore[return-value]


def _options(own: str, group: Mapping[str, Any]) -> dict[str, Any]:
    made = {n: group[n] for n in ("lr", "weight_decay", "initial_lr") if n in group}
    if own not in ("Lion", "SGD") and "eps" in group:
        made["eps"] = group["eps"]
    return made | {name: of(group["betas"]) for name, of in _OPTIONS[own].items()}


def _decoded(
    key: Any, held: Mapping[str, Any], names: tuple[str, ...], counted: bool
) -> dict[str, Any]:
    """Return the states of a parameter by torch's names."""
    held = {**held, **held.get(_WRAPPED, {})}
    made: dict[str, Any] = {"step": held["step"]} if counted and "step" in held else {}
    if "state2" in held and len(names) == 1:
        raise ValueError(f"state of {key!r}: expected one state, got two: of another optimizer")
    for i, name in enumerate(names, 1):
        if f"state{i}" not in held:
            raise ValueError(
                f"state of {key!r}: expected 'state{i}', got {', '.join(map(str, held))}"
            )
        made[name] = _values(held, i, f"state{i} of {key!r}")
    return made


def _values(held: Mapping[str, Any], i: int, what: str) -> torch.Tensor:
    """Return the values of a state: ``qmap[code] * absmax`` of its block."""
    codes: torch.Tensor = held[f"state{i}"]
    if codes.dtype is not torch.uint8:
        return codes.float()
    absmax, qmap = held.get(f"absmax{i}"), held.get(f"qmap{i}")
    if absmax is None or qmap is None:
        raise ValueError(f"{what}: expected 8 bits with absmax{i} and qmap{i}, as blockwise ones")
    if qmap.shape != (256,) or not codes.is_contiguous():
        raise ValueError(f"{what}: expected contiguous codes and 256 values, got {qmap.shape}")
    count = codes.numel()
    blocks = [block for block in _BLOCKS if absmax.shape == (-(-count // block),)]
    if not blocks:
        raise ValueError(
            f"{what}: expected a factor for each 256 of {count} elements, got {absmax.shape}"
        )
    values = qmap.float()[codes.reshape(-1).int()]
    factors = absmax.float().repeat_interleave(blocks[0])[:count]
    return values.mul_(factors).view(codes.shape)


def _plain(value: Any) -> Any:
    """Return a tensor in float32, if it is one of torchao's."""
    if is_dtensor(value) and hasattr(value._local_tensor, "codes"):
        from torch.distributed.tensor import DTensor

        local = value._local_tensor.dequantize(torch.float32)
        own = value.device_mesh, value.placements
        return DTensor.from_local(
            local, *own, run_check=False, shape=value.shape, stride=value.stride()
        )
    return value.dequantize(torch.float32) if hasattr(value, "codes") else value
