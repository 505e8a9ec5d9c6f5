"""The stages that keep 16-bit parameters and states unbiased."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..rules.registry import Stage
from ..rules.rounding import ROUND_STOCHASTICALLY, round_state
from ..rules.split import JOIN, SPLIT
from ..rules.tail import ADD_COMPENSATION, COMPENSATE, KEEP_MASTER, ROUND, TAKE_MASTER

BITS_16 = ("float16", "bfloat16")

Around = tuple[tuple[Stage, ...], ...]
"""Stages before all others, directly after the rule, and after all others."""

EXACT = frozenset({"master", "kahan_comp"})
"""States that store rounding errors exactly, and must not be rounded stochastically."""


def rounded_states(stored: Mapping[str, str]) -> tuple[Stage, ...]:
    """Return the stages that round an update's 16-bit states.

    Args:
        stored: the dtype of each state, in the update's order.
    """
    return tuple(
        round_state(name, dtype, index)
        for index, (name, dtype) in enumerate(stored.items())
        if dtype in BITS_16 and name not in EXACT
    )


def _master(dtype: str) -> Around:
    return (TAKE_MASTER,), (KEEP_MASTER,), ()


def _split16(dtype: str) -> Around:
    return ((JOIN[16],), (), (SPLIT[16],)) if dtype == "bfloat16" else _master(dtype)


def _split8(dtype: str) -> Around:
    return ((JOIN[8],), (), (SPLIT[8],)) if dtype == "bfloat16" else _master(dtype)


def _compensated(dtype: str) -> Around:
    return (ADD_COMPENSATION,), (COMPENSATE[dtype],), ()


def _stochastic(dtype: str) -> Around:
    return ((), (ROUND_STOCHASTICALLY,), ()) if dtype == "bfloat16" else _rounded(dtype)


def _rounded(dtype: str) -> Around:
    return (), (ROUND[dtype],), ()


NARROW: dict[str, Callable[[str], Around]] = {
    "master_weights": _master,
    "split16": _split16,
    "split8": _split8,
    "kahan_sum": _compensated,
    "stochastic_rounding": _stochastic,
    "rounded": _rounded,
}
"""For each option, the stages around updates of 16-bit parameters, by their dtype."""

KEEPING = frozenset({"master_weights", "split16", "split8", "kahan_sum"})
"""The options that keep rounding errors, and add them again."""
