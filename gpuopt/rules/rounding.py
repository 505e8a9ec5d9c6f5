"""Stochastic rounding to 16 bits, of bfloat16 parameters and of states.

In most steps an average changes by less than half a unit in its last place: rounded to nearest, it
would never change. Rounded up or down at random, it is unbiased.

Parameters use the first stream of random words. bfloat16 states share streams in pairs, 16 bits
each; a float16 state has its own stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ..kernels import roundings
from ..kernels.roundings import stochastic_bfloat16
from ..kernels.trace.retarget import function_from
from .registry import Stage

SEED = "rounding_seed"
"""The carried number of a tensor whose parameter or state is rounded stochastically."""


def round_stochastically(p, element, seed_high, seed_low, step_high, step_low):
    """The parameter as it will be stored: rounded up or down at random, unbiased."""
    return stochastic_bfloat16(p, element, seed_high, seed_low, step_high, step_low)


def rounding_coefficients(step, rounding_seed):
    """Split both numbers into parts that float32 can represent: x = high*65536 + low."""
    seed_high = (rounding_seed * 0.0000152587890625 + 6755399441055744.0) - 6755399441055744.0
    step_high = (step * 0.0000152587890625 + 6755399441055744.0) - 6755399441055744.0
    return (
        seed_high,
        rounding_seed - seed_high * 65536.0,
        step_high,
        step - step_high * 65536.0,
    )


def tensor_seed(options: Mapping[str, float], tensor: int) -> float:
    """Return a 32-bit seed for each tensor of an optimizer, from its ``seed``."""
    return float(np.random.SeedSequence([int(options["seed"]), tensor]).generate_state(1)[0])


def shard_seed(seed: float, shard: Sequence[int]) -> float:
    """Return the seed of one shard of a tensor, from its indices along the sharded dimensions.

    The first shard has the seed of the tensor, so sharding over one process changes nothing.
    """
    if not any(shard):
        return seed
    return float(np.random.SeedSequence([int(seed), *shard]).generate_state(1)[0])


CARRIED = {SEED: tensor_seed}

ROUND_STOCHASTICALLY = Stage(
    "round_stochastically",
    round_stochastically,
    ("p",),
    rounding_coefficients,
    ("p", "element"),
    carried=CARRIED,
)


@cache
def round_state(name: str, dtype: str, place: int) -> Stage:
    """Return the stage that rounds a state to a 16-bit dtype.

    Args:
        name: the name of the state.
        dtype: ``"bfloat16"`` or ``"float16"``.
        place: the index of the state in its update; each has its own random bits.
    """
    stream, rounding = 1 + place, "stochastic_float16"
    if dtype == "bfloat16":
        stream, rounding = 1 + place // 2, "stochastic_bfloat16" + "_high" * (place % 2)
    element, own = f"element{stream}", f"round_{name}"
    source = (
        f"def {own}({name}, {element}, seed_high, seed_low, step_high, step_low):\n"
        f"    return {rounding}({name}, {element}, seed_high, seed_low, step_high, step_low)\n"
    )
    names = {"__name__": __name__, rounding: getattr(roundings, rounding)}
    function = function_from(source, own, names)
    return Stage(own, function, (name,), rounding_coefficients, (name, element), carried=CARRIED)
