"""State dicts with codes of 8-bit states: checked, then loaded as codes or as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..arrays import zeros_like
from ..engine.coded_states import values_of
from ..engine.flat import in_order, order_of_strides
from ..kernels.storage import BLOCK
from ..optimizers.coded_dicts import CODED_STATE, order_in
from ..rules.formats import FORMATS, scale_name
from .shards import is_dtensor


class Coded(NamedTuple):
    """The codes and scales of a parameter's states, and the formats of these, by name."""

    arrays: dict[str, torch.Tensor]
    formats: dict[str, str]


def with_state(state_dict: Any) -> Any:
    """Return a state dict with its states in ``"state"``, whether they are codes or not."""
    if not isinstance(state_dict, Mapping) or CODED_STATE not in state_dict:
        return state_dict
    rest = {name: value for name, value in state_dict.items() if name != CODED_STATE}
    return {**rest, "state": state_dict[CODED_STATE]}


def check_coded(
    own: Mapping[str, Any], formats: Mapping[str, str], param: torch.Tensor, what: str
) -> None:
    """Check the codes and the scales of a parameter's states.

    Args:
        own: the states.
        formats: the formats of the encoded states, by name.
        param: the parameter.
        what: the name of the states in errors.

    Raises:
        TypeError, ValueError: some are missing, or do not fit the parameter.
    """
    shape = shape_of_codes(param)
    size = torch.Size(shape).numel()
    for name, own_format in formats.items():
        codes = getattr(torch, FORMATS[own_format].codes)
        expected = {name: (codes, shape), scale_name(name): (torch.float32, (-(-size // BLOCK),))}
        for part, (dtype, own_shape) in expected.items():
            array: Any = own.get(part)
            plain = isinstance(array, torch.Tensor) and array.layout is torch.strided
            if not plain or is_dtensor(array):
                raise TypeError(f"{what}: expected a tensor as {part!r}, got {array!r:.80}")
            if array.dtype is not dtype or tuple(array.shape) != own_shape:
                raise ValueError(
                    f"{what}: expected {part!r} of {dtype} and shape {own_shape}, got "
                    f"{array.dtype} and shape {tuple(array.shape)}"
                )


def copied_coded_states(
    state_dict: Mapping[str, Any], key: Any, formats: Mapping[str, str], param: torch.Tensor
) -> tuple[Coded, dict[str, torch.Tensor]]:
    """Return copies of a parameter's encoded states, as codes or as values.

    Values are needed for a DTensor, whose shards have other blocks, and for a parameter with
    another memory order.

    Args:
        state_dict: a state dict that `check_coded` accepted.
        key: the parameter's key in it.
        formats: the formats of its states, by name.
        param: the parameter.
    """
    coded, values = Coded({}, {}), dict[str, torch.Tensor]()
    order, own = order_in(state_dict, key, shape_of_codes(param)), state_dict["state"][key]
    for name, own_format in formats.items():
        codes, scales = own[name].detach(), own[scale_name(name)].detach()
        if is_dtensor(param) or order != _order_here(param):
            values[name] = _values(codes, scales, name, own_format, order, param)
            continue
        like = torch.view_as_real(param) if param.is_complex() else param
        coded.formats[name] = own_format
        coded.arrays[name] = zeros_like(like.detach(), FORMATS[own_format].codes).copy_(codes)
        coded.arrays[scale_name(name)] = scales.to(param.device, copy=True)
    return coded, values


def _values(
    codes: torch.Tensor,
    scales: torch.Tensor,
    name: str,
    own_format: str,
    order: Sequence[int] | None,
    param: torch.Tensor,
) -> torch.Tensor:
    """Return the float32 values of a whole state."""
    laid_out = in_order(codes.cpu().numpy(), None if order is None else list(order))
    held = {name: laid_out, scale_name(name): scales.cpu().numpy()}
    values = torch.from_numpy(values_of(laid_out, held, name, FORMATS[own_format])).contiguous()
    return (torch.view_as_complex(values) if param.is_complex() else values).to(param.device)


def shape_of_codes(param: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of a parameter's codes: that of its real view."""
    return (*param.shape, 2) if param.is_complex() else tuple(param.shape)


def _order_here(param: torch.Tensor) -> list[int] | None:
    """Return the memory order of a parameter's new states."""
    like = torch.view_as_real(param) if param.is_complex() else param
    made = torch.empty_like(like, device="meta", memory_format=torch.preserve_format)
    return order_of_strides(made.shape, made.stride())
