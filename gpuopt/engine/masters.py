"""Conversion between kinds of masters: float32 weights, and remainders of bfloat16 weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import FLOATS, describe, describe_state, is_torch_tensor, mark_written, zeros_like
from ..kernels.roundings import (
    nearest_code,
    round_bfloat16,
    split16_high,
    split16_low,
)
from ..kernels.storage import STORAGE, decode, decode_bfloat16, encode_bfloat16
from ..rules.split import BITS, MASTER, REMAINDER, join8, join16, remainder8
from .flat import Flat, pieces

KINDS = (MASTER, REMAINDER)
"""The states with full weights or remainders; if both exist, the first is used."""

_JOIN: dict[int, Callable[..., Any]] = {16: join16, 8: join8}
_REST: Callable[..., Any] = remainder8


def dtypes_of_state(name: str) -> tuple[str, ...]:
    """Return the dtypes that a state without a format may have."""
    return tuple(BITS) if name == REMAINDER else FLOATS


def source_kind(held: Collection[str], wanted: Collection[str], params: str) -> str | None:
    """Return the kind of master to continue from; None to start from the parameter.

    Args:
        held: the existing states.
        wanted: the states of its update.
        params: the dtype of the parameter; a remainder is useless unless it is bfloat16.
    """
    usable = [kind for kind in KINDS if kind in held and (kind == MASTER or params == "bfloat16")]
    if not usable or not any(kind in wanted for kind in KINDS):
        return None
    return usable[0]


def float32_masters(param: Any, rest: Any) -> Any:
    """Return the float32 weights of a parameter, as a new array; synchronizes with a device."""
    made = zeros_like(param, "float32")
    weights = Flat(made, param)
    for part, found in _weights(param, rest):
        weights.values[part] = found
    weights.write()
    return made


def remainders_of(param: Any, held: Any, dtype: str) -> Any:
    """Return the remainders of weights rounded to bfloat16; synchronizes with a device.

    Args:
        param: the parameter.
        held: the float32 weights, or the parameter's remainders in another dtype.
        dtype: the dtype of the new remainders: int16 without loss, int8 rounded to nearest.
    """
    made = zeros_like(param, dtype)
    rests = Flat(made, param)
    for part, weights in _weights(param, held):
        rests.values[part] = _split(weights, dtype)[1].astype(STORAGE[dtype])
    rests.write()
    return made


def round_to(param: Any, held: Any, dtype: str) -> None:
    """Round weights into the parameter as `remainders_of` expects it, with the same arguments.

    Float32 masters and ``"split8"`` round ties to even, ``"split16"`` away from zero. A float32
    master is the whole weight, whatever the parameter was.
    """
    bits = Flat(param, param)
    for part, weights in _weights(param, held):
        bits.values[part] = encode_bfloat16(_split(weights, dtype)[0])
    bits.write()
    if is_torch_tensor(param):
        mark_written([param])


def _weights(param: Any, held: Any) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the float32 weights of a parameter, piece by piece, in memory order."""
    dtype, given = describe_state(held, "state").dtype, Flat(held, param)
    bits = Flat(param, param) if dtype in BITS else None
    for part, _ in pieces(describe(param, "parameter").size):
        own = decode(given.values[part], dtype, "float32")
        if bits is not None:
            with np.errstate(all="ignore"):
                own = _JOIN[BITS[dtype]](decode_bfloat16(bits.values[part]), own)
        yield part, own


def _split(weights: npt.NDArray[np.float32], dtype: str) -> tuple[Any, Any]:
    """Return weights rounded to bfloat16, as float32, and their remainders."""
    if BITS[dtype] == 16:
        return split16_high(weights), split16_low(weights)
    stored = round_bfloat16(weights)
    with np.errstate(all="ignore"):
        rest = _REST(weights, stored)
    return stored, nearest_code(rest)
