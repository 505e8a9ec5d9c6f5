"""Pictures of many methods: a row for each, instead of a line among too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
ROW, MARGIN = 0.21, 0.8  # inches: a row, and what is above and below all of them
ROW_SIZE = 9.5  # of the names
DOT: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "", "color": BLUE}
MARK: dict[str, Any] = {"marker": "o", "markersize": 4.5, "mfc": "white", "mec": "black"}
"""The best of a row."""

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
    """Draw a dot for each result, none where it diverged."""
    values = [inf if result.diverged else value(result.final) for result in results]
    rows = [row for row, value in enumerate(values) if 0 < value < inf]
    panel.plot([values[row] for row in rows], rows, **DOT)
    panel.set(title=title)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    for row in range(0, len(results), 2):
        panel.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0.5)


def rows_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw the final training losses as colours: a row for each curve, a column for each rate."""
    with page(SWEEP_TITLE, f"{CAPTION}. {origin}", MARGIN + ROW * len(curves)) as sheet:
        panel = sheet.figure.subplots()
        losses = [
            {
                result.trial.learning_rate: None if result.diverged else result.final.train_loss
                for result in curve.results
            }
            for curve in curves
        ]
        colour_rows(panel, losses, highest=LOSS_OF_GUESSING)
        name_rows(panel, [curve.label for curve in curves])
        panel.set(title="Final training loss", xlabel="learning rate")
    return sheet.figure


Losses = dict[float, float | None]
"""The loss of each learning rate; None where the training diverged."""


def colour_rows(
    panel: Axes,
    rows: Sequence[Losses],
    highest: float,
    rates: Sequence[float] = (),
    bar: bool = True,
    colour: str = GREY,
) -> None:
    """Draw a cell for each loss, with a colour bar; the lowest of each row has a dot.

    Args:
        panel: takes the rows, the first at the top.
        rows: the losses of each row.
        highest: the loss of the lightest colour.
        rates: the columns; those of the rows if there are none.
        bar: whether a bar shows what the colours mean.
        colour: of the crosses.
    """
    import numpy as np
    from matplotlib.colors import LogNorm

    columns = sorted(rates or {rate for row in rows for rate in row})
    known = [loss for row in rows for loss in row.values() if loss]
    lowest = min([loss for loss in known if loss < highest], default=highest / 10)
    cells = np.array([[row.get(rate) or np.nan for rate in columns] for row in rows], float)
    norm = LogNorm(lowest, highest, clip=True)
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    mesh = panel.pcolormesh(
        *edges, cells, cmap=COLOURS, norm=norm, edgecolors="white", linewidth=0.8
    )
    for height, row in enumerate(rows):
        finite = {rate: loss for rate, loss in row.items() if loss is not None}
        crosses = [columns.index(rate) for rate in row if rate not in finite]
        look = {"marker": "x", "markersize": 4, "linestyle": "", "color": colour}
        panel.plot(crosses, [height] * len(crosses), **look)
        if finite:
            panel.plot(columns.index(min(finite, key=lambda rate: finite[rate])), height, **MARK)
    labelled = [i for i, rate in enumerate(columns) if f"{rate:e}"[0] == "1"]
    panel.set_xticks(labelled, [plain(columns[i]) for i in labelled])
    panel.grid(visible=False)
    if bar:
        add_bar(panel, mesh)


def add_bar(panel: Axes, mesh: Any) -> None:
    """Add a bar with what the colours of a panel mean, in plain numbers."""
    figure: Any = panel.get_figure()
    bar = figure.colorbar(mesh, ax=panel, pad=0.01, aspect=40)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(plain)
    bar.ax.yaxis.set_minor_locator(no_ticks())
    bar.ax.tick_params(length=0)


def name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Name the rows, the first at the top."""
    panel.set_yticks(range(len(names)), names, size=ROW_SIZE)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
