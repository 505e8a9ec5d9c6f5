"""A slide to draw on: its style, its palette and its scales.

Matplotlib is imported when a slide is made, and needs no display.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from gpuopt.demo.comparison import TARGET_ACCURACY
from gpuopt.demo.methods import Method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, GREY, PALE = "#222222", "#6b6b6b", "#e2e2e2"
# Okabe and Ito's colours, which the colour-blind tell apart too
ORANGE, SKY, GREEN, PINK, RED, BLUE = (
    *("#e69f00", "#56b4e9", "#009e73"),
    *("#cc79a7", "#d55e00", "#0072b2"),
)
STYLES = {  # by method; relatives share a colour
    "batch": (GREY, "-"),
    "stochastic": (ORANGE, "-"),
    "minibatch": (SKY, "-"),
    "momentum": (GREEN, "-"),
    "nesterov": (GREEN, "--"),
    "rmsprop": (PINK, "-"),
    "rmsprop_centered": (PINK, "--"),
    "rmsprop_momentum": (PINK, ":"),
    "rmsprop_centered_momentum": (PINK, "-."),
    "adam": (RED, "-"),
    "amsgrad": (RED, "--"),
    "adamw": (RED, ":"),
    "adamw_amsgrad": (RED, "-."),
    "adagrad": (BLUE, "-"),
}
SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "font.size": 11,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "text.color": BLACK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
Style = tuple[str, str]  # colour and line
MARGINS = {"left": 0.068, "right": 0.985, "bottom": 0.07}
SIZE, DPI = (13.33, 7.5), 150  # in inches: a slide
ACCURACY_TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998)
USUAL_ACCURACY, BEST_ACCURACY = 0.99, 0.999  # how far the scale reaches at least, and at most


@contextmanager
def slide(title: str, origin: str) -> Iterator[Figure]:
    """A slide with a title and the origin of its numbers; what is drawn inside fits its style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(SIZE, dpi=DPI)
        figure.text(0.015, 0.944, title, size=20, weight="bold")
        figure.text(0.015, 0.91, origin, size=11, color=GREY)
        yield figure


def draw_legend(figure: Figure, entries: Sequence[tuple[Style, str]]) -> float:
    """Name the curves of all panels, row by row; return how high the panels may reach."""
    from matplotlib.lines import Line2D

    columns = 6 if len(entries) <= 6 else 5
    by_column = [entry for column in range(columns) for entry in entries[column::columns]]
    figure.legend(
        [Line2D([], [], color=colour, linestyle=line) for (colour, line), _ in by_column],
        [label for _, label in by_column],
        loc="upper left",
        bbox_to_anchor=(0.008, 0.902),
        ncols=columns,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.7,
    )
    return 0.84 - 0.029 * ceil(len(entries) / columns)


def style(method: Method) -> Style:
    """Colour and line of a method."""
    return STYLES[method.name]


def upright_decades(panels: Sequence[Axes]) -> None:
    """Give the panels the same logarithmic scale for their heights, with plain numbers."""
    for panel in panels:
        panel.set_yscale("log")
    limits = with_a_decade(*panels[0].get_ylim())
    for panel in panels:
        panel.set_ylim(limits)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("")


def level_decades(panel: Axes) -> None:
    """Give the panel a logarithmic scale from left to right, with plain numbers."""
    panel.set_xscale("log")
    panel.set_xlim(with_a_decade(*panel.get_xlim()))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")


def with_a_decade(low: float, high: float) -> tuple[float, float]:
    """Limits that have a power of ten between them, which gets a number."""
    return (low, high) if high >= 10 * low else (10 ** floor(log10(low)), 10 ** ceil(log10(high)))


def accuracy_scale(panel: Axes) -> None:
    """Give the panel a scale on which to halve the errors is always the same step."""
    panel.set_yscale("function", functions=(error_halvings, lambda steps: 1 - 2.0**-steps))
    panel.set_yticks(ACCURACY_TICKS, [f"{100 * tick:g}%" for tick in ACCURACY_TICKS])
    panel.set_ylim(0, max(USUAL_ACCURACY, min(panel.dataLim.ymax, BEST_ACCURACY)))
    panel.axhline(TARGET_ACCURACY, color=GREY, linewidth=1, linestyle="--", zorder=1)


def error_halvings(accuracy: Any) -> Any:
    """How often all errors must be halved to get there; the best accuracy is as far as it goes."""
    import numpy as np

    return -np.log2(np.maximum(1 - np.asarray(accuracy), 1 - BEST_ACCURACY))
