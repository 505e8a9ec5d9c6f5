"""The search over learning rates: 1 and 3 times powers of ten, as long as they are useful."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor, inf, log10

AROUND = 2
"""The number of first rates on either side of the start."""

LOWEST, MOST = -10, 13
"""The index of the lowest rate to try, 1e-5, and the maximum number of rates."""


def rate_of(index: int) -> float:
    """Return a rate of the grid.

    >>> [rate_of(index) for index in (-2, -1, 0, 1)]
    [0.1, 0.3, 1.0, 3.0]
    """
    return float(f"{3 if index % 2 else 1}e{index // 2}")


def index_of(rate: float) -> int:
    """Return the index of the largest rate of the grid not above a rate.

    >>> index_of(0.3), index_of(0.0025), index_of(1.0)
    (-1, -6, 0)
    """
    power = floor(log10(rate) + 1e-9)
    return 2 * power + (rate >= 2.999 * 10.0**power)


def explored(
    tried: Callable[[float], float], start: float, useful: Callable[[float, float], bool]
) -> dict[float, float]:
    """Return the losses of the rates around a start, in order.

    The range is extended until the best rate is inside and the rates at its ends are not useful.

    Args:
        tried: returns the loss of a rate; infinity if it diverged.
        start: a rate in the middle.
        useful: whether a rate is useful, from the rate and how far its loss is above the best.
    """
    middle = index_of(start)
    around = range(middle - AROUND, middle + AROUND + 1)
    losses = {index: tried(rate_of(index)) for index in around}
    while len(losses) < MOST and (end := _next(losses, useful)) is not None:
        losses[end] = tried(rate_of(end))
    return {rate_of(index): losses[index] for index in sorted(losses)}


def _next(losses: Mapping[int, float], useful: Callable[[float, float], bool]) -> int | None:
    """Return the index of the next rate to try, if there is one."""
    best, low, high = min(losses.values()), min(losses), max(losses)

    def goes_on(end: int) -> bool:
        return losses[end] == best or useful(rate_of(end), losses[end] - best)

    if low > LOWEST and (best == inf or goes_on(low)):
        return low - 1
    return high + 1 if best < inf and goes_on(high) else None
