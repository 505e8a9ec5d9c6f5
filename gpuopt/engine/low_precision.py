"""The stages by which 16-bit parameters and states lose nothing on average."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..rules.registry import Stage
from ..rules.rounding import ROUND_STOCHASTICALLY, round_state
from ..rules.tail import ADD_COMPENSATION, COMPENSATE, KEEP_MASTER, ROUND, TAKE_MASTER

BITS_16 = ("float16", "bfloat16")

EXACT = frozenset({"master", "kahan_comp"})
"""The states that hold what rounding cuts off: stochastic rounding would spoil them."""


def rounded_states(stored: Mapping[str, str]) -> tuple[Stage, ...]:
    """Return the stages that round an update's states to the 16 bits that they are stored in.

    Args:
        stored: the dtype of each state, in the update's order.
    """
    return tuple(
        round_state(name, dtype, index)
        for index, (name, dtype) in enumerate(stored.items())
        if dtype in BITS_16 and name not in EXACT
    )


def _master(dtype: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    return (TAKE_MASTER,), (KEEP_MASTER,)


def _compensated(dtype: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    return (ADD_COMPENSATION,), (COMPENSATE[dtype],)


def _by_chance(dtype: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    return (), ((ROUND_STOCHASTICALLY,) if dtype == "bfloat16" else _rounded(dtype)[1])


def _rounded(dtype: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    return (), (ROUND[dtype],)


NARROW: dict[str, Callable[[str], tuple[tuple[Stage, ...], tuple[Stage, ...]]]] = {
    "master_weights": _master,
    "kahan_sum": _compensated,
    "stochastic_rounding": _by_chance,
    "rounded": _rounded,
}
"""For 16-bit parameters: the stages in front of all others, and those right behind the rule."""
