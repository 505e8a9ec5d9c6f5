"""The plot of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, lcm
from typing import TYPE_CHECKING

from gpuopt.demo.comparison import Result
from gpuopt.demo.rows_picture import COMPARISON_TITLE as TITLE
from gpuopt.demo.rows_picture import final_figure, labels
from gpuopt.demo.scales import ZeroRows, accuracy_scale, upright_decades, zero_rows
from gpuopt.demo.style import (
    CROSS,
    GREY,
    MOST_LINES,
    RING,
    Entry,
    Style,
    look_of,
    page,
    styles_of,
)
from gpuopt.demo.training import Epoch
from gpuopt.demo.watch import OVERFITTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

Quantity = Callable[[Epoch], float]


def comparison_figure(results: Sequence[Result], origin: str) -> Figure:
    """Draw losses and accuracy by epoch, and below them the gradient norm of each layer.

    For more than `MOST_LINES` results, it draws rows with the final losses and accuracy instead.
    """
    if len(results) > MOST_LINES:
        return final_figure(results, origin)
    with page(TITLE, origin) as sheet:
        sheet.legend(legend_entries(results))
        layers = len(results[0].final.gradient_norms)
        grid = sheet.figure.add_gridspec(2, lcm(3, layers))
        losses = row_of_panels(sheet.figure, grid, 0, 3)
        loss_panel(losses[0], "Training loss", results, lambda epoch: epoch.train_loss)
        loss_panel(losses[1], "Test loss", results, lambda epoch: epoch.test_loss)
        mark_overfitting(losses[1], results)
        accuracy_panel(losses[2], results)
        gradient_panels(row_of_panels(sheet.figure, grid, 1, layers), results)
    return sheet.figure


def legend_entries(results: Sequence[Result]) -> list[Entry]:
    """Return entries for the methods, and for rings and crosses if there are any."""
    looks = map(look_of, styles(results))
    entries = list(zip(looks, labels(results), strict=True))
    mark = {"color": GREY, "linestyle": ""}
    if any(overfitted(results)):
        entries.append(({**mark, **RING}, "overfitting noticed"))
    if not all(result.final.finite for result in results):
        entries.append(({**mark, **CROSS}, "then NaN or infinity"))
    return entries


def styles(results: Sequence[Result]) -> list[Style]:
    """Return the style of each result."""
    names = [result.trial.method.name for result in results]
    of_name = styles_of(names)
    return [of_name[name] for name in names]


def finite(result: Result, value: Quantity) -> list[tuple[int, float]]:
    """Return (epoch, value) where the value is finite."""
    return [(e.number, value(e)) for e in result.epochs if isfinite(value(e))]


def zeros_of(results: Sequence[Result], *values: Quantity) -> ZeroRows:
    """Return the rows for zeros of these quantities, on a common scale."""
    return zero_rows([[y for value in values for _, y in finite(r, value)] for r in results])


def loss_panel(panel: Axes, title: str, results: Sequence[Result], value: Quantity) -> None:
    """Draw a loss by epoch."""
    zeros = zeros_of(results, value)
    course_panel(panel, title, results, value, zeros)
    upright_decades([panel], zeros)


def accuracy_panel(panel: Axes, results: Sequence[Result]) -> None:
    """Draw the test accuracy by epoch."""
    course_panel(panel, "Test accuracy", results, lambda epoch: epoch.test_accuracy)
    accuracy_scale(panel)


def course_panel(
    panel: Axes,
    title: str,
    results: Sequence[Result],
    value: Quantity,
    zeros: ZeroRows | None = None,
) -> None:
    """Draw a quantity of all results by epoch, with a cross where a method ended with NaN."""
    for index, (result, style) in enumerate(zip(results, styles(results), strict=True)):
        look = look_of(style)
        points = finite(result, value)
        if zeros:
            points = [(number, zeros.height(index, y)) for number, y in points]
        panel.plot(*zip(*points, strict=True), **look)
        if not result.final.finite:
            panel.plot(*points[-1], color=look["color"], clip_on=False, **CROSS)
    last = max(result.final.number for result in results)
    panel.set(title=title, xlabel="epoch", xlim=(-0.02 * last, 1.02 * last))
    panel.xaxis.get_major_locator().set_params(integer=True)


def overfitted(results: Sequence[Result]) -> list[tuple[Style, Epoch]]:
    """Return the style of each result with overfitting, and the epoch of the warning."""
    return [
        (style, result.epochs[finding.epoch])
        for result, style in zip(results, styles(results), strict=True)
        for finding in result.findings
        if finding.kind == OVERFITTING
    ]


def mark_overfitting(panel: Axes, results: Sequence[Result]) -> None:
    """Draw a ring at each warning of overfitting."""
    for (colour, _), epoch in overfitted(results):
        panel.plot(epoch.number, epoch.test_loss, color=colour, clip_on=False, zorder=3, **RING)


def row_of_panels(figure: Figure, grid: GridSpec, row: int, count: int) -> list[Axes]:
    """Add panels of equal width that fill a row of the grid."""
    width = grid.ncols // count
    places = [grid[row, width * n : width * (n + 1)] for n in range(count)]
    return [figure.add_subplot(place) for place in places]


def gradient_panels(panels: Sequence[Axes], results: Sequence[Result]) -> None:
    """Draw one panel per layer, on a common scale."""
    norms = [norm_of(layer) for layer in range(len(panels))]
    zeros = zeros_of(results, *norms)
    for layer, panel in enumerate(panels):
        if layer:
            panel.sharey(panels[0])
        course_panel(panel, f"Gradient norm, layer {layer + 1}", results, norms[layer], zeros)
    upright_decades(panels, zeros)
    for panel in panels[1:]:
        panel.tick_params(labelleft=False)


def norm_of(layer: int) -> Quantity:
    """Return the function that reads the gradient norm of a layer, counted from 0."""
    return lambda epoch: epoch.gradient_norms[layer]
