"""8-bit states: creating, encoding and decoding them, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import describe_state, zeros, zeros_like
from ..kernels.numpy.coded import scales_of, spread
from ..kernels.roundings import nearest_code
from ..kernels.storage import BLOCK, STORAGE
from ..kernels.storage import decode as decode_stored
from ..kernels.storage import encode as encode_stored
from ..rules.formats import Format, scale_name
from .flat import Flat, pieces

Arrays = dict[str, Any]
"""The arrays of a state by name: its codes, and its blocks' scales."""


def new_coded(param: Any, name: str, own: Format, start: float = 0.0) -> Arrays:
    """Return the arrays, codes and scales, of a new state of a parameter."""
    codes, scales = zeros_like(param, own.codes), _scales_for(param)
    if start:
        code, scale = encoded(np.full(1, start, np.float32), own)
        codes, scales = zeros_like(param, own.codes, int(code[0])), scales + scale[0]
    return {name: codes, scale_name(name): scales}


def coded_from(param: Any, name: str, own: Format, array: Any) -> Arrays:
    """Return the codes and scales of a float array; synchronizes with a device.

    Values are rounded to the nearest code; decoded values are encoded without loss.
    """
    codes, scales = zeros_like(param, own.codes), _scales_for(param)
    dtype = describe_state(array, name).dtype
    given, to_codes, to_scales = Flat(array, codes), Flat(codes, codes), Flat(scales, scales)
    for part, blocks in pieces(to_codes.values.size):
        values = decode_stored(given.values[part], dtype, "float32")
        to_codes.values[part], to_scales.values[blocks] = encoded(values, own)
    to_codes.write()
    to_scales.write()
    return {name: codes, scale_name(name): scales}


def values_of(param: Any, held: Arrays, name: str, own: Format, dtype: str = "float32") -> Any:
    """Return a new array, like a parameter, with a state's values; synchronizes with a device."""
    made, codes, scales = zeros_like(param, dtype), held[name], held[scale_name(name)]
    of_codes, of_scales, values = Flat(codes, codes), Flat(scales, scales), Flat(made, codes)
    for part, blocks in pieces(of_codes.values.size):
        found = decoded(of_codes.values[part], of_scales.values[blocks], own)
        values.values[part] = encode_stored(found, dtype)
    values.write()
    return made


def encoded(
    values: npt.NDArray[np.float32], own: Format
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Return the codes and scales of flat values, rounded to the nearest.

    Decoded values give the same codes and scales again.
    """
    with np.errstate(all="ignore"):
        x = values if own.prepare is None else own.prepare(values)
        scales = scales_of(x)
        y = own.encode(x, spread(scales, len(x)))
        codes = nearest_code(y)
    return codes.astype(STORAGE[own.codes]), scales


def decoded(
    codes: npt.NDArray[Any], scales: npt.NDArray[np.float32], own: Format
) -> npt.NDArray[np.float32]:
    """Return the flat values of codes."""
    with np.errstate(all="ignore"):
        values = own.decode(codes.astype(np.float32), spread(scales, len(codes)))
    return np.asarray(values, np.float32)


def _scales_for(param: Any) -> Any:
    return zeros(param, -(-describe_state(param, "parameter").size // BLOCK))
