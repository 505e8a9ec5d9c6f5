"""Pictures of many methods, with a row for each instead of a line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from gpuopt.demo.comparison import Result
from gpuopt.demo.scales import accuracy_scale, level_decades, plain
from gpuopt.demo.style import BLUE, GREY, SHADE, no_ticks, page
from gpuopt.demo.sweep import Curve
from gpuopt.demo.training import LOSS_OF_GUESSING, Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARISON_TITLE = "Gradient descent and its relatives learn handwritten digits"
SWEEP_TITLE = "How much the learning rate matters"
ROW, MARGIN = 0.21, 0.8  # inches: a row, and the space above and below all rows
ROW_SIZE = 9.5  # points, for names
DOT: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "", "color": BLUE}
BEST: dict[str, Any] = {"marker": "o", "markersize": 4.5, "mfc": "white", "mec": "black"}
DIVERGED: dict[str, Any] = {"marker": "x", "markersize": 4, "linestyle": "", "color": GREY}

COLOURS = "YlGnBu_r"  # a good loss is dark
CAPTION = "The darker, the lower the loss; a white dot is the lowest of its row, a cross diverged"


def final_figure(results: Sequence[Result], origin: str) -> Figure:
    """Draw the final losses and accuracy, with a row for each result."""
    with page(COMPARISON_TITLE, origin, MARGIN + ROW * len(results)) as sheet:
        panels = sheet.figure.subplots(1, 3, sharey=True)
        final_panel(panels[0], "Training loss", results, lambda epoch: epoch.train_loss)
        final_panel(panels[1], "Test loss", results, lambda epoch: epoch.test_loss)
        final_panel(panels[2], "Test accuracy", results, lambda epoch: epoch.test_accuracy)
        for panel in panels[:2]:
            level_decades(panel, 4)
        accuracy_scale(panels[2], level=True)
        name_rows(panels[0], labels(results))
    return sheet.figure


def labels(results: Sequence[Result]) -> list[str]:
    """Return the names of the methods, with learning rates if these differ."""
    rates = [result.trial.learning_rate for result in results]
    names = [result.trial.method.label for result in results]
    if len(set(rates)) == 1:
        return names
    return [f"{name}, lr {rate:g}" for name, rate in zip(names, rates, strict=True)]


def final_panel(
    panel: Axes, title: str, results: Sequence[Result], value: Callable[[Epoch], float]
) -> None:
    """Draw a dot for each result, or say that it diverged."""
    values = [inf if result.diverged else value(result.final) for result in results]
    rows = [row for row, value in enumerate(values) if 0 < value < inf]
    panel.plot([values[row] for row in rows], rows, **DOT)
    place = panel.get_yaxis_transform()
    for row in {*range(len(values))} - {*rows}:
        text = "diverged" if values[row] else "0"
        panel.text(0.03, row, text, transform=place, va="center", size=ROW_SIZE, color=GREY)
    panel.set(title=title)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    for row in range(0, len(results), 2):
        panel.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0.5)


def rows_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw the final training losses as colours: a row for each curve, a column for each rate."""
    rows = [
        {r.trial.learning_rate: None if r.diverged else r.final.train_loss for r in curve.results}
        for curve in curves
    ]
    losses = [loss for row in rows for loss in row.values() if loss]
    lowest = min([LOSS_OF_GUESSING / 10, *losses])
    with page(SWEEP_TITLE, f"{CAPTION}. {origin}", MARGIN + ROW * len(curves)) as sheet:
        panel = sheet.figure.subplots()
        mesh = colour_rows(panel, rows, (lowest, LOSS_OF_GUESSING))
        plain_bar(sheet.figure.colorbar(mesh, ax=panel, pad=0.01, aspect=40))
        name_rows(panel, [curve.label for curve in curves])
        panel.set(title="Final training loss", xlabel="learning rate")
    return sheet.figure


Losses = Mapping[float, float | None]
"""The loss of each learning rate; None if the training diverged."""


def colour_rows(
    panel: Axes, rows: Sequence[Losses], limits: tuple[float, float], rates: Collection[float] = ()
) -> Any:
    """Draw a cell for each loss, a cross where it diverged, and a dot on the lowest of each row.

    Args:
        panel: the panel for the rows, the first at the top.
        rows: the losses of each row.
        limits: the losses of the darkest and the lightest colour.
        rates: the columns; by default, those of the rows.

    Returns:
        The mesh, for drawing a colour bar.
    """
    import numpy as np
    from matplotlib.colors import LogNorm

    columns = sorted(rates or {rate for row in rows for rate in row})
    cells = np.array([[row.get(rate) or np.nan for rate in columns] for row in rows], float)
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    look: dict[str, Any] = {"cmap": COLOURS, "edgecolors": "white", "linewidth": 0.8}
    mesh = panel.pcolormesh(*edges, cells, norm=LogNorm(*limits, clip=True), **look)
    for height, row in enumerate(rows):
        finite = {rate: loss for rate, loss in row.items() if loss is not None}
        crosses = [columns.index(rate) for rate in row if rate not in finite]
        panel.plot(crosses, [height] * len(crosses), **DIVERGED)
        if finite:
            panel.plot(columns.index(min(finite, key=lambda rate: finite[rate])), height, **BEST)
    decades = [i for i, rate in enumerate(columns) if f"{rate:e}".startswith("1.")]
    panel.set_xticks(decades, [plain(columns[i]) for i in decades])
    panel.grid(visible=False)
    return mesh


def plain_bar(bar: Any) -> None:
    """Format a colour bar with plain numbers and without lines."""
    bar.outline.set_visible(False)
    axis = bar.ax.xaxis if bar.orientation == "horizontal" else bar.ax.yaxis
    axis.set_major_formatter(plain)
    axis.set_minor_locator(no_ticks())
    axis.set_tick_params(length=0)


def name_rows(panel: Axes, names: Sequence[str], room: int = 0) -> None:
    """Name the rows, the first at the top; leave room for at least ``room`` rows."""
    panel.set_yticks(range(len(names)), names, size=ROW_SIZE)
    panel.set_ylim(max(room, len(names)) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
