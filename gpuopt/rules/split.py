"""Master weights split into a bfloat16 parameter and a remainder, which duplicates no bits.

The parameter is the weight's bfloat16; a state has the remainder, in 16 bits without loss, or in 8.
TransformerEngine and Apex have the first as ``store_param_remainders``, FlashOptim (arXiv
2602.23349, 2026) the second, which is rounded to nearest there.
"""

from __future__ import annotations

from ..kernels.roundings import (
    exponent_of,
    inverse_exponent_of,
    join_split16,
    round_bfloat16,
    split16_high,
    split16_low,
    stochastic_code_2,
)
from ..kernels.trace.retarget import function_from
from .formats import FIRST_STREAM
from .rounding import CARRIED, rounding_coefficients
from .rule import Stage, State

REMAINDER = "param_remainder"
"""The state with the remainder of a weight."""

MASTER = "master"
"""The state with the whole weight in float32."""

BITS = {"int16": 16, "int8": 8}
"""The bits of the remainder, by its dtype."""


def join16(p, param_remainder):
    """The float32 weight: the parameter's bits plus the remainder, a signed integer."""
    return join_split16(p, param_remainder)


def split16(p):
    """The bfloat16 nearest to the weight, ties away from zero, and the other 16 bits."""
    return split16_high(p), split16_low(p)


def join8(p, param_remainder):
    """weight = p + remainder/127 * half a unit in p's last place."""
    return p + param_remainder * 0.007874015718698502 * (exponent_of(p) * 0.00390625)


def remainder8(weight, p):
    """The remainder weight - p, in 127ths of half a unit in p's last place."""
    return (weight - p) * inverse_exponent_of(p) * 32512.0


_ELEMENT = f"element{FIRST_STREAM}"
_KEY = "seed_high, seed_low, step_high, step_low"

split8 = function_from(
    f"def split8(p, {_ELEMENT}, seed_high, seed_low, step_high, step_low):\n"
    "    stored = round_bfloat16(p)\n"
    f"    return stored, stochastic_code_2(remainder8(p, stored), {_ELEMENT}, {_KEY})\n",
    "split8",
    {
        "__name__": __name__,
        "round_bfloat16": round_bfloat16,
        "stochastic_code_2": stochastic_code_2,
        "remainder8": remainder8,
    },
)
"""The bfloat16 nearest to the weight, and the remainder, rounded stochastically to 8 bits.

It uses the third byte of the random word, since the codes of states use the other three.
"""

_BOTH = ("p", REMAINDER)

JOIN = {
    16: Stage("join16", join16, ("p",), values=_BOTH),
    8: Stage("join8", join8, ("p",), values=_BOTH),
}
"""The stages that join the weight, by the bits of the remainder."""

SPLIT = {
    16: Stage("split16", split16, _BOTH, values=("p",), state=State(REMAINDER, dtype="int16")),
    8: Stage(
        "split8",
        split8,
        _BOTH,
        rounding_coefficients,
        ("p", _ELEMENT),
        State(REMAINDER, dtype="int8"),
        CARRIED,
    ),
}
"""The stages that split it, after all others."""
