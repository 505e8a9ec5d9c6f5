"""States in formats of 8 bits: new ones, and to and from arrays of their values, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import describe, zeros, zeros_like
from ..kernels.numpy.coded import scales_of, spread
from ..kernels.roundings import integer_below
from ..kernels.storage import BLOCK, STORAGE
from ..rules.formats import Format, scale_name


def new_coded(param: Any, name: str, own: Format, start: float = 0.0) -> dict[str, Any]:
    """Return the arrays of a new state of a parameter: codes, and scales, by name."""
    codes = zeros_like(param, own.codes)
    scales = zeros(param, -(-describe(param, name).size // BLOCK))
    if start:
        code, scale = encoded(np.full(1, start, np.float32), own)
        codes, scales = zeros_like(param, own.codes, int(code[0])), scales + scale[0]
    return {name: codes, scale_name(name): scales}


def encoded(
    values: npt.NDArray[np.float32], own: Format
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Return the codes and the scales of values, rounded to the nearest; in flat order.

    What was decoded has the same codes and scales again.
    """
    with np.errstate(all="ignore"):
        x = values if own.prepare is None else own.prepare(values)
        scales = scales_of(x)
        y = own.encode(x, spread(scales, len(x)))
        codes = integer_below(np.where(y == y, y, np.float32(0.0)) + np.float32(0.5))
    return codes.astype(STORAGE[own.codes]), scales


def decoded(
    codes: npt.NDArray[Any], scales: npt.NDArray[np.float32], own: Format
) -> npt.NDArray[np.float32]:
    """Return the values of codes, in flat order."""
    values = own.decode(codes.astype(np.float32), spread(scales, len(codes)))
    return np.asarray(values, np.float32)
