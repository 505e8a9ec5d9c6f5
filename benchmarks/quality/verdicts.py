"""Medians and bands of losses, compared with float32's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from statistics import median

BASE = "float32"

Losses = Mapping[str, Sequence[float]]
"""For each storage, the loss of each seed; NaN if the training diverged."""

HEAD = ("task, steps", "optimizer", "storage", "median", "band", "to float32", "verdict")


def verdict(losses: Sequence[float], base: Sequence[float]) -> str:
    """Return whether the median is between float32's best and worst seed, below, or above.

    >>> verdict([1.0, 2.0, 3.0], [1.5, 2.5, 2.0])
    'within'
    >>> verdict([3.0, 3.0, float("nan")], [1.5, 2.5, 2.0])
    'ABOVE'
    """
    if any(map(isnan, base)):
        return "float32 diverged"
    if any(map(isnan, losses)):
        return "ABOVE"
    middle = median(losses)
    return "below" if middle < min(base) else "ABOVE" if middle > max(base) else "within"


def rows(title: str, method: str, losses: Losses) -> Iterator[tuple[str, ...]]:
    """Yield a row of the table for each storage."""
    base = losses[BASE]
    for name, own in losses.items():
        band = f"{min(own):.4g} - {max(own):.4g}"
        ratio = median(own) / median(base)
        yield title, method, name, f"{median(own):.4g}", band, f"{ratio:.3f}", verdict(own, base)


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown.

    >>> print(markdown([["a", "b"]]).splitlines()[-1])
    | a | b |
    """
    lines = [HEAD, ["---"] * len(HEAD), *table] if len(table[0]) == len(HEAD) else table
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
