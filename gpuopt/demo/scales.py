"""The scales of the demo's plots: logarithmic with rows for zeros, and accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from gpuopt.demo.comparison import TARGET_ACCURACY
from gpuopt.demo.style import LIMIT, SHADE, no_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCURACY_TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998)
LEVEL_TICKS = (0.5, 0.9, 0.98)  # the subset that fits side by side
USUAL_ACCURACY, BEST_ACCURACY = 0.99, 0.999  # minimum and maximum of the scale's upper limit
MOST_DECADES = 6  # tick labels on a horizontal axis
ROW = 0.04  # the distance between two rows of zeros, relative to the range of the values


@dataclass(frozen=True)
class ZeroRows:
    """The rows for zeros on a logarithmic scale: one per curve, below all other values.

    Attributes:
        heights: the row of each curve with zeros, by the curve's index.
        top: the upper edge of the rows; None without zeros.
    """

    heights: Mapping[int, float] = field(default_factory=dict)
    top: float | None = None

    def height(self, curve: int, value: float) -> float:
        """Return the height at which a value is drawn."""
        return self.heights[curve] if value == 0 else value


def zero_rows(curves: Sequence[Sequence[float]]) -> ZeroRows:
    """Return the rows for the zeros of curves of finite values."""
    having = [curve for curve, values in enumerate(curves) if 0 in values]
    if not having:
        return ZeroRows()
    others = [value for values in curves for value in values if value != 0] or [1.0]
    low, high = log10(min(others)), log10(max(others))
    row = ROW * max(high - low, 1.0)
    heights = {curve: 10 ** (low - (2 + index) * row) for index, curve in enumerate(having)}
    return ZeroRows(heights, 10 ** (low - row))


def upright_decades(panels: Sequence[Axes], zeros: ZeroRows | None = None) -> None:
    """Give the panels the same logarithmic y-axis with plain numbers."""
    for panel in panels:
        panel.set_yscale("log")
    limits = with_a_decade(*panels[0].get_ylim())
    for panel in panels:
        panel.set_ylim(limits)
        panel.yaxis.set_major_formatter(plain)
        panel.yaxis.set_minor_formatter("")
        if zeros and zeros.top:
            mark_zeros(panel, zeros.top)


def mark_zeros(panel: Axes, top: float) -> None:
    """Shade and label the rows for zeros."""
    low, high = panel.get_ylim()
    panel.axhspan(low, top, color=SHADE, linewidth=0, zorder=0.5)
    decades = [tick for tick in panel.get_yticks() if top < tick <= high]
    middle = (low * top) ** 0.5
    panel.set_yticks([middle, *decades], ["0", *map(plain, decades)])
    panel.yaxis.set_minor_locator(no_ticks())
    panel.set_ylim(low, high)


def level_decades(panel: Axes, most: int = MOST_DECADES) -> None:
    """Give the panel a logarithmic x-axis with at most so many plain numbers."""
    panel.set_xscale("log")
    panel.set_xlim(with_a_decade(*panel.get_xlim()))
    panel.xaxis.get_major_locator().set_params(numticks=most)
    panel.xaxis.set_major_formatter(plain)
    panel.xaxis.set_minor_locator(no_ticks())


def plain(number: float, _: object = None) -> str:
    """Return a number in few characters.

    >>> plain(0.001), plain(1e-6), plain(1e30)
    ('0.001', '1e-6', '1e30')
    """
    mantissa, e, exponent = f"{number:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def with_a_decade(low: float, high: float) -> tuple[float, float]:
    """Return limits that include a power of ten, for its label."""
    return (low, high) if high >= 10 * low else (10 ** floor(log10(low)), 10 ** ceil(log10(high)))


def accuracy_scale(panel: Axes, level: bool = False) -> None:
    """Give the panel a scale on which halving the error is a constant step; upright or level."""
    functions = (error_halvings, lambda steps: 1 - 2.0**-steps)
    highest = panel.dataLim.xmax if level else panel.dataLim.ymax
    limits = 0, max(USUAL_ACCURACY, min(highest, BEST_ACCURACY))
    ticks = LEVEL_TICKS if level else ACCURACY_TICKS
    names = [f"{100 * tick:g}%" for tick in ticks]
    if level:
        panel.set_xscale("function", functions=functions)
        panel.set_xticks(ticks, names)
        panel.set_xlim(limits)
        panel.axvline(TARGET_ACCURACY, **LIMIT)
    else:
        panel.set_yscale("function", functions=functions)
        panel.set_yticks(ticks, names)
        panel.set_ylim(limits)
        panel.axhline(TARGET_ACCURACY, **LIMIT)


def error_halvings(accuracy: Any) -> Any:
    """Return how often the error must be halved for an accuracy, up to the best accuracy."""
    import numpy as np

    return -np.log2(np.maximum(1 - np.asarray(accuracy), 1 - BEST_ACCURACY))
