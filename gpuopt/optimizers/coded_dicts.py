"""Metadata of 8-bit states in a state dict: their formats, and the order of their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import to_numpy
from ..engine.coded_states import values_of
from ..engine.flat import in_order, order_of, plain_order
from ..rules.formats import FORMATS, scale_name
from .params import Key

CODED_STATE = "coded_state"
"""The key that replaces ``"state"`` in drop-ins' state dicts with codes.

torch.optim does not check states, and would load codes as values.
"""

FORMATS_VERSION = 1
"""The version of ``"formats"`` in a state dict: blocks of 32, float32 scales, names of formats.

Blocks are in the memory order that the codes had: C order, or the one in ``"orders"``.
"""


def formats_in(state_dict: Mapping[str, Any], key: Key) -> dict[str, str]:
    """Return the formats of the states of an array, by name."""
    found, version = state_dict.get("formats", {}), state_dict.get("formats_version", 1)
    if version != FORMATS_VERSION:
        raise ValueError(
            f"state_dict: states in 8 bits of version {version!r}, which a newer gpuopt has "
            f"written; this one reads version {FORMATS_VERSION}"
        )
    own = found.get(key, {}) if isinstance(found, Mapping) else None
    if not isinstance(own, Mapping):
        raise TypeError(f"state_dict: expected dicts as 'formats', got {found!r:.80}")
    for state, name in own.items():
        if not isinstance(name, str) or name not in FORMATS:
            raise ValueError(
                f"state_dict: state {state!r} is in the format {name!r}; "
                f"known: {', '.join(FORMATS)}; register_format adds others"
            )
    return dict(own)


def order_in(state_dict: Mapping[str, Any], key: Key, shape: Sequence[int]) -> list[int] | None:
    """Return the memory order of an array's codes; None for C order.

    Raises:
        ValueError: it is not a memory order of an array with that shape.
    """
    orders = state_dict.get("orders", {})
    order = orders.get(key) if isinstance(orders, Mapping) else orders
    if order is None:
        return None
    listed = isinstance(order, (list, tuple)) and all(type(axis) is int for axis in order)
    if not listed or sorted(order) != list(range(len(shape))):
        raise ValueError(
            f"state_dict: expected the axes of an array of shape {tuple(shape)} in 'orders', "
            f"got {order!r:.80}"
        )
    return plain_order(shape, order)


def in_order_here(
    param: Any, arrays: dict[str, Any], formats: Mapping[str, str], order: list[int] | None
) -> dict[str, str]:
    """Decode 8-bit states whose blocks are in another memory order than the array's here.

    Returns:
        The formats of the states that stay encoded.
    """
    left = dict(formats)
    for name in formats:
        if order_of(arrays[name]) != order:
            codes, scale = to_numpy(arrays[name]), scale_name(name)
            held = {name: in_order(codes, order), scale: arrays.pop(scale)}
            arrays[name] = values_of(param, held, name, FORMATS[left.pop(name)])
    return left


def formats_part(
    formats: Mapping[Key, Mapping[str, str]], state: Mapping[Key, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the entries of a state dict that describe its codes; none if it has no codes.

    Args:
        formats: for each array's key, the formats of its states by name.
        state: for each array's key, its states by name.
    """
    used = {key: dict(own) for key, own in formats.items() if own}
    orders = {key: order_of(state[key][next(iter(own))]) for key, own in used.items()}
    orders = {key: order for key, order in orders.items() if order is not None}
    if not used:
        return {}
    return {
        "formats": used,
        "formats_version": FORMATS_VERSION,
        **({"orders": orders} if orders else {}),
    }
