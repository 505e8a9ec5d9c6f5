"""Powers by correctly rounded operations: the same bits on every machine, unlike libm's."""

from __future__ import annotations

import math


def power(base: float, exponent: int) -> float:
    """Return ``base**exponent`` by repeated squaring.

    >>> power(0.5, 3)
    0.125
    """
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent = exponent >> 1
    return result


def real_power(base: float, exponent: float) -> float:
    """Return ``base**exponent`` for a nonnegative base and any exponent.

    Uses repeated squaring for the integer part, and square roots for 52 bits of the fraction.

    >>> real_power(16.0, 0.75), real_power(4.0, -1.5)
    (8.0, 0.125)
    """
    base, exponent = float(base), float(exponent)
    if math.isnan(exponent):
        return exponent
    magnitude = min(abs(exponent), 2.0**63 - 1024.0)  # beyond: 0.0, 1.0 or inf
    result = power(base, int(magnitude))
    fraction = magnitude - int(magnitude)
    for _ in range(52):
        base = math.sqrt(base) if base >= 0.0 else math.nan
        fraction = fraction + fraction
        if fraction >= 1.0:
            result, fraction = result * base, fraction - 1.0
    if exponent < 0.0:
        return 1.0 / result if result != 0.0 else math.copysign(math.inf, result)
    return result
