"""The plot of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

from gpuopt.demo.comparison import Result
from gpuopt.demo.rows_picture import SWEEP_TITLE as TITLE
from gpuopt.demo.rows_picture import rows_figure
from gpuopt.demo.scales import accuracy_scale, level_decades, plain
from gpuopt.demo.style import (
    CROSS,
    FLAT,
    GREY,
    LIMIT,
    MOST_LINES,
    SHADE,
    TALL,
    Entry,
    Style,
    look_of,
    no_ticks,
    page,
    styles_of,
)
from gpuopt.demo.sweep import Curve
from gpuopt.demo.training import LOSS_OF_GUESSING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE_WITH_BETA = "Final training loss by learning rate and beta"
PANELS_IN_A_ROW, DECADES_IN_A_ROW = 3, 11
ROW_HEIGHT = 2.0  # inches
FIRST_CROSS, NEXT_CROSS = 1.8 * LOSS_OF_GUESSING, 1.5  # a height, and a factor for each curve
LOWEST = 0.7  # the scale of the losses includes this
SWATCH = 7  # line width in the legend, wider than any curve
LIGHTEST = 0.4  # intensity of a method's colour for the smallest beta


def sweep_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw the final training loss by learning rate; a panel per method if there are betas.

    Of more than `MOST_LINES` curves without betas, each is a row.
    """
    with_beta = [curve for curve in curves if curve.beta is not None]
    if with_beta:
        return beta_figure(curves, origin)
    figure = rows_figure if len(curves) > MOST_LINES else rate_figure
    return figure(curves, origin)


def rate_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw the losses of all methods into one panel, and the accuracies into another."""
    with page(TITLE, origin, FLAT) as sheet:
        styles = own_styles(curves)
        sheet.legend([(look_of(s), c.label) for s, c in zip(styles, curves, strict=True)])
        loss, accuracy = sheet.figure.subplots(1, 2)
        loss_panel(loss, "Final training loss", curves, styles)
        level_decades(loss)
        mark_heights([loss])
        accuracy_panel(accuracy, curves, styles)
    return sheet.figure


def beta_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw a panel for each method with a beta, and one for all others."""
    groups = by_method(curves)
    columns = min(PANELS_IN_A_ROW, ceil(len(groups) / 2))
    rows = ceil(len(groups) / columns)
    with page(TITLE_WITH_BETA, origin, max(TALL, ROW_HEIGHT * rows)) as sheet:
        sheet.legend(beta_entries(curves))
        grid = sheet.figure.add_gridspec(rows, columns)
        panels: list[Axes] = []
        for place, (title, group) in zip(grid, groups.items(), strict=False):
            panels.append(sheet.figure.add_subplot(place, sharey=panels[0] if panels else None))
            loss_panel(panels[-1], title, group, group_styles(group))
            level_decades(panels[-1], ceil(DECADES_IN_A_ROW / columns))
        mark_heights(panels)
        label_outside(panels, columns)
    return sheet.figure


def beta_entries(curves: Sequence[Curve]) -> list[Entry]:
    """Return entries for the methods without beta, and for the betas in shades of grey."""
    without = [curve for curve in curves if curve.beta is None]
    named = [
        (look_of(style), curve.label)
        for style, curve in zip(own_styles(without), without, strict=True)
    ]
    betas = sorted({curve.beta for curve in curves if curve.beta is not None})
    shaded = shades((GREY, "-"), len(betas))
    return named + [
        ({**look_of(style), "linewidth": SWATCH}, f"beta {beta:g}")
        for style, beta in zip(shaded, betas, strict=True)
    ]


def label_outside(panels: Sequence[Axes], columns: int) -> None:
    """Remove the tick labels of panels that are not at the left or at the bottom."""
    for index, panel in enumerate(panels):
        if index % columns:
            panel.tick_params(labelleft=False)
        if index + columns < len(panels):
            panel.tick_params(labelbottom=False)
            panel.set_xlabel("")


def by_method(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return the curves of each panel, by its title."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        title = "without beta" if curve.beta is None else curve.method.label
        groups.setdefault(title, []).append(curve)
    return groups


def group_styles(curves: Sequence[Curve]) -> list[Style]:
    """Return each method's style, or its shades if there are betas."""
    own = own_styles(curves)
    return own if curves[0].beta is None else shades(own[0], len(curves))


def own_styles(curves: Sequence[Curve]) -> list[Style]:
    """Return each method's style."""
    of_name = styles_of(curve.method.name for curve in curves)
    return [of_name[curve.method.name] for curve in curves]


def shades(style: Style, count: int) -> list[Style]:
    """Return shades of a style, from light to full."""
    from matplotlib.colors import to_hex, to_rgb

    colour, line = style
    strengths = [LIGHTEST + (1 - LIGHTEST) * (i + 1) / count for i in range(count)]
    return [
        (to_hex([1 - strength * (1 - channel) for channel in to_rgb(colour)]), line)
        for strength in strengths
    ]


def loss_panel(panel: Axes, title: str, curves: Sequence[Curve], styles: Sequence[Style]) -> None:
    """Draw final training losses, and above them a cross for each diverged run."""
    for row, (curve, style) in enumerate(zip(curves, styles, strict=True)):
        height = FIRST_CROSS * NEXT_CROSS**row
        losses = [height if r.diverged else r.final.train_loss for r in curve.results]
        panel.plot(rates(curve.results), losses, marker="o", **look_of(style))
        diverged = rates([result for result in curve.results if result.diverged])
        heights = [height] * len(diverged)
        panel.plot(diverged, heights, color=style[0], linestyle="", **CROSS)
    panel.set(title=title, xlabel="learning rate", yscale="log")


def mark_heights(panels: Sequence[Axes]) -> None:
    """Label the loss of guessing and the shaded rows of crosses."""
    low, high = panels[0].get_ylim()
    low, high, shade = min(low, LOWEST), max(high, FIRST_CROSS), FIRST_CROSS / NEXT_CROSS
    decades = [tick for tick in panels[0].get_yticks() if low < tick < LOSS_OF_GUESSING]
    heights = [*decades, LOSS_OF_GUESSING, sqrt(shade * high)]
    names = [*map(plain, decades), "guessing", "diverged"]
    for panel in panels:
        panel.axhline(LOSS_OF_GUESSING, **LIMIT)
        panel.axhspan(shade, high, color=SHADE, linewidth=0, zorder=0.5)
        panel.set_yticks(heights, names)
        panel.yaxis.set_minor_locator(no_ticks())
        panel.set_ylim(low, high)


def accuracy_panel(panel: Axes, curves: Sequence[Curve], styles: Sequence[Style]) -> None:
    """Draw final test accuracies."""
    for curve, style in zip(curves, styles, strict=True):
        accuracies = [result.final.test_accuracy for result in curve.results]
        panel.plot(rates(curve.results), accuracies, marker="o", **look_of(style))
    panel.set(title="Final test accuracy", xlabel="learning rate")
    level_decades(panel)
    accuracy_scale(panel)


def rates(results: Sequence[Result]) -> list[float]:
    """Return the learning rates."""
    return [result.trial.learning_rate for result in results]
