"""Stochastic rounding to 16 bits: of bfloat16 parameters, and of states that 16 bits hold.

A state that is an average moves by less than half a unit of its last place in most steps: rounded
to nearest it would stay where it is for ever. Rounded up or down by chance it is right on average.

Parameters use the first stream of random words. States stored in bfloat16 share a stream in pairs,
16 bits each; a state stored in float16 has a stream of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ..kernels import roundings
from ..kernels.roundings import STREAM, stochastic_bfloat16
from ..kernels.trace.retarget import function_from
from .registry import Stage

SEED = "rounding_seed"
"""The number that a tensor carries from step to step where anything of it is rounded by chance."""


def round_stochastically(p, element, seed_high, seed_low, step_high, step_low):
    """The parameter as it will be stored: up or down, by chance, and right on average."""
    return stochastic_bfloat16(p, element, seed_high, seed_low, step_high, step_low)


def rounding_coefficients(step, rounding_seed):
    """Both numbers in two parts that float32 holds: x = high*65536 + low."""
    seed_high = (rounding_seed * 0.0000152587890625 + 6755399441055744.0) - 6755399441055744.0
    step_high = (step * 0.0000152587890625 + 6755399441055744.0) - 6755399441055744.0
    return (
        seed_high,
        rounding_seed - seed_high * 65536.0,
        step_high,
        step - step_high * 65536.0,
    )


def tensor_seed(options: Mapping[str, float], tensor: int) -> float:
    """Return a number of 32 bits for each tensor of an optimizer, from its ``seed``."""
    return float(np.random.SeedSequence([int(options["seed"]), tensor]).generate_state(1)[0])


def shard_seed(seed: float, shard: Sequence[int]) -> float:
    """Return the seed of one shard of a tensor, by its numbers along the shared dimensions.

    The first shard has the seed of the tensor, so that a tensor in one piece rounds as ever.
    """
    if not any(shard):
        return seed
    return float(np.random.SeedSequence([int(seed), *shard]).generate_state(1)[0])


_CARRIED = {SEED: tensor_seed}

ROUND_STOCHASTICALLY = Stage(
    "round_stochastically",
    round_stochastically,
    ("p",),
    rounding_coefficients,
    ("p", "element"),
    carried=_CARRIED,
)


@cache
def round_state(name: str, dtype: str, place: int) -> Stage:
    """Return the stage that rounds a state to what a 16-bit dtype holds.

    Args:
        name: of the state.
        dtype: ``"bfloat16"`` or ``"float16"``.
        place: of the state among those of its update; each place has random bits of its own.
    """
    stream, rounding = 1 + place, "stochastic_float16"
    if dtype == "bfloat16":
        stream, rounding = 1 + place // 2, "stochastic_bfloat16" + "_high" * (place % 2)
    element, own = f"element{stream}", f"round_{name}"
    source = (
        f"def {own}({name}, {element}, seed_high, seed_low, step_high, step_low):\n"
        f"    return {rounding}({name}, {element}, seed_high + {stream * STREAM},"
        " seed_low, step_high, step_low)\n"
    )
    names = {"__name__": __name__, rounding: getattr(roundings, rounding)}
    function = function_from(source, own, names)
    return Stage(own, function, (name,), rounding_coefficients, (name, element), carried=_CARRIED)
