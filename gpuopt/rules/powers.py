"""Powers by repeated squaring: the same bits on every machine, where libm's are not."""

from __future__ import annotations


def power(base: float, exponent: int) -> float:
    """Return ``base**exponent`` by repeated squaring: the same bits on every machine.

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
