"""Storage formats for 8-bit states, as NumPy functions that every backend compiles.

A block is 32 consecutive elements of a state in memory order, starting at the first. It has one
float32 scale, and an 8-bit code for each element. Codes are rounded stochastically, so a state is
unbiased however slowly it changes.

The two formulas are FlashOptim's (arXiv 2602.23349, 2026), which rounds to nearest with 16-bit
scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

from ..kernels import roundings
from ..kernels.roundings import quotient
from ..kernels.trace.operations import RuleError, trace
from ..kernels.trace.retarget import function_from
from .rounding import CARRIED, rounding_coefficients
from .rule import Stage, parameters_of

CODES = ("int8", "uint8")
"""The dtypes of codes."""

FORMATS: dict[str, Format] = {}
"""The formats, by name."""

IN_8_BITS = "8bit"
"""The ``state_dtype`` that uses `SOFTSIGN8` for signed states and `ROOT8` for nonnegative ones."""

FIRST_STREAM, BYTES = 64, (3, 0, 1)
"""The stream of random words for the first codes, and the bytes of a word that states use in turn:
the highest first, which GPUs can add in one instruction. `split` rounds with the remaining byte."""


@dataclass(frozen=True, eq=False)
class Format:
    """How the blocks of a state are stored.

    A value ``v`` becomes ``x = prepare(v)``; the scale of a block is its largest ``abs(x)``, at
    least 2**-120; the code is ``encode(x, scale)``, rounded to an integer; and ``decode(code,
    scale)`` is the value. The scale is NaN if the magnitude of a value in the block is 2**126 or
    more.

    Attributes:
        name: its key in `FORMATS`.
        codes: the dtype of the codes, ``"int8"`` or ``"uint8"``.
        decode: ``value = decode(code, scale)``.
        encode: ``y = encode(x, scale)``, within the range of the codes if ``abs(x) <= scale``.
        prepare: ``x = prepare(value)``; None for the value itself.
    """

    name: str
    codes: str
    decode: Callable[..., Any]
    encode: Callable[..., Any]
    prepare: Callable[..., Any] | None = None


def register_format(
    name: str,
    codes: str,
    decode: Callable[..., Any],
    encode: Callable[..., Any],
    prepare: Callable[..., Any] | None = None,
) -> Format:
    """Check a format and add it: ``state_dtype=name`` then stores states in it.

    Args:
        name: an identifier that no other format has.
        codes: the dtype of the codes, ``"int8"`` or ``"uint8"``.
        decode: ``value = decode(code, scale)``, in correctly rounded NumPy operations.
        encode: ``y = encode(x, scale)``, likewise; y is then rounded to the code.
        prepare: ``x = prepare(value)``, whose maximum over a block is the scale; the value itself
            by default.

    Raises:
        RuleError: the name is taken, the codes are of another dtype, a function is not one that
            every backend can compile, or ``encode`` is not the inverse of ``decode``.

    >>> def decode(code, scale):
    ...     return np.divide(code, 127.0) * scale
    >>> def encode(x, scale):
    ...     return np.divide(x, scale) * 127.0
    >>> register_format("linear8", "int8", decode, encode).name
    'linear8'
    >>> del FORMATS["linear8"]  # for the other examples
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise RuleError(f"the name of a format must be an identifier, got {name!r}")
    if name in FORMATS:
        raise RuleError(f"the format {name!r} is registered already")
    if codes not in CODES:
        raise RuleError(f"codes of format {name!r}: expected one of {CODES}, got {codes!r}")
    made = Format(name, codes, decode, encode, prepare)
    check(made)
    FORMATS[name] = made
    return made


def check(made: Format) -> None:
    """Check that every backend can compile a format, and that decoded values keep their codes.

    Raises:
        RuleError: it is not valid; the message says why.
    """
    for role, count in (("decode", 2), ("encode", 2), ("prepare", 1)):
        function = getattr(made, role)
        if function is None and role == "prepare":
            continue
        if not isinstance(function, FunctionType) or len(parameters_of(function)) != count:
            raise RuleError(
                f"{role} of format {made.name!r}: expected a Python function of {count} "
                f"argument{'s' * (count > 1)}, got {function!r}"
            )
        trace(function, parameters_of(function))
    with np.errstate(all="ignore"):
        _check_round_trip(made)


def _check_round_trip(made: Format) -> None:
    """Check that decoded values have the same scale and codes again.

    Otherwise values would shrink or drift at each step, and from checkpoint to checkpoint.
    """

    def prepared(code: Any, scale: Any) -> Any:
        """Return x of a decoded value; NaN if the value is below float32's full precision."""
        value = np.asarray(made.decode(code, scale), np.float32)
        x = value if made.prepare is None else made.prepare(value)
        normal = (np.abs(value) >= np.finfo(np.float32).tiny) & np.isfinite(value)
        return np.where(normal | (code == 0.0), x, np.float32(np.nan))

    zero, limits = np.zeros(1, np.float32), np.iinfo(made.codes)
    signed = limits.min < 0
    if not (made.decode(zero, zero) == 0.0).all():
        raise RuleError(f"decode of format {made.name!r}: expected decode(0, 0) to be 0")
    for scale in _SCALES:
        ends = np.array([-scale if signed else scale, scale], np.float32)
        bottom, top = made.encode(ends, scale)
        nearest = np.rint([bottom, top])
        moved = np.abs(nearest - [bottom, top]).max() >= _MOVED
        if moved or not limits.min <= nearest[0] <= nearest[1] <= limits.max:
            raise RuleError(
                f"encode of format {made.name!r}: expected a code of {made.codes} for the largest "
                f"value of a block, got {bottom} to {top}"
            )
        codes = np.arange(nearest[0] if signed else 0, nearest[1] + 1, dtype=np.float32)
        x = prepared(codes, scale)
        if abs(x[-1] - scale) > 0.0:
            raise RuleError(
                f"format {made.name!r}: expected decode(encode(scale, scale), scale) to be the "
                f"scale, {scale}, got {x[-1]}"
            )
        again = made.encode(x, scale)
        moved = np.abs(again - codes) >= _MOVED
        if moved.any():
            worst = int(np.argmax(moved))
            raise RuleError(
                f"format {made.name!r}: expected encode(decode(code, scale), scale) to be the "
                f"code, {codes[worst]:g}, got {again[worst]}"
            )


_SCALES = np.float32(10.0) ** np.arange(-15, 16, dtype=np.float32) * np.float32(1.2345678)
"""Scales of all magnitudes, for the check of a format."""

_MOVED = 1.0 / 512.0
"""The rounding error of an integer that does not change its code."""


# --- the two formats ----------------------------------------------------------------------------


def decode_softsign8(code, scale):
    """value = scale * code/(254-abs(code)): finer near zero."""
    return scale * quotient(code, 254.0 - np.abs(code))


def encode_softsign8(x, scale):
    """With z = 254 * x/scale, y = z/(1 + abs(z)/254).

    GPUs compute subexpressions of the scale once per block.
    """
    z = x * quotient(254.0, scale)
    return quotient(z, 1.0 + np.abs(z) * 0.003937007859349251)


def decode_root8(code, scale):
    """root = scale * code/255; value = root**2."""
    root = code * 0.003921568859368563 * scale
    return root * root


def encode_root8(x, scale):
    """y = root * (255/scale), and at least 1 where the root is not 0.

    No nonzero square becomes 0: an average divided by its root could give a step of any size.
    """
    y = x * quotient(255.0, scale)
    return np.where(y > 0.0, np.maximum(y, 1.0), y)


def root(value):
    """The square root; NaN for a negative value."""
    return np.sqrt(value)


SOFTSIGN8 = Format("softsign8", "int8", decode_softsign8, encode_softsign8)
ROOT8 = Format("root8", "uint8", decode_root8, encode_root8, root)
FORMATS.update({made.name: made for made in (SOFTSIGN8, ROOT8)})


# --- stages ---------------------------------------------------------------------------------------


def is_coded(state_dtype: str | None) -> bool:
    """Return whether a ``state_dtype`` requests a format."""
    return state_dtype == IN_8_BITS or state_dtype in FORMATS


def scale_name(state: str) -> str:
    """Return the name of the list with the scales of a state."""
    return f"{state}_scale"


def stages_of(formats: Mapping[str, str]) -> tuple[tuple[Stage, ...], ...]:
    """Return the stages that decode states, those that prepare them, and those that encode them.

    Args:
        formats: for each state, the name of its format.
    """
    made = [_stages(s, FORMATS[name], k) for k, (s, name) in enumerate(formats.items())]
    return tuple(tuple(s[k] for s in made if k in s) for k in ("decode", "prepare", "encode"))


@cache
def _stages(state: str, own: Format, place: int) -> dict[str, Stage]:
    """Return the stages of one state; ``place`` is its index among the encoded ones."""
    scale = scale_name(state)
    stream, byte = FIRST_STREAM + place // len(BYTES), BYTES[place % len(BYTES)]
    element, rounding = f"element{stream}", f"stochastic_code_{byte}"
    key = "seed_high, seed_low, step_high, step_low"
    scaled = f"{state}, {scale}"
    found = {
        "decode": _stage(f"decode_{state}", own.decode, state, scaled, f"callee({scaled})"),
        "encode": _stage(
            f"encode_{state}",
            own.encode,
            state,
            f"{scaled}, {element}",
            f"{rounding}(callee({scaled}), {element}, {key})",
            rounding,
        ),
    }
    if own.prepare is not None:
        name = f"prepare_{state}"
        found["prepare"] = _stage(name, own.prepare, state, state, f"callee({state})")
    return found


def _stage(
    name: str, callee: Callable[..., Any], state: str, values: str, result: str, rounding: str = ""
) -> Stage:
    numbers = ", seed_high, seed_low, step_high, step_low" if rounding else ""
    source = f"def {name}({values}{numbers}):\n    return {result}\n"
    names = {"__name__": __name__, "callee": callee}
    names |= {rounding: getattr(roundings, rounding)} if rounding else {}
    function = function_from(source, name, names)
    coefficients = rounding_coefficients if rounding else None
    taken = tuple(values.split(", "))
    return Stage(name, function, (state,), coefficients, taken, carried=CARRIED if rounding else {})
