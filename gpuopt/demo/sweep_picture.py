"""The picture of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

from gpuopt.demo.comparison import LOSS_OF_GUESSING, Result
from gpuopt.demo.slide import (
    GREY,
    MARGINS,
    Style,
    accuracy_scale,
    draw_legend,
    level_decades,
    slide,
    style,
)
from gpuopt.demo.sweep import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "How much the learning rate matters"
TITLE_WITH_BETA = "Final training loss by learning rate and beta"
PANELS_IN_A_ROW = 4
SHADE = "#f0f0f0"
BETA_GRID = {**MARGINS, "top": 0.85, "hspace": 0.25, "wspace": 0.08}
FIRST_CROSS, NEXT_CROSS = 1.8 * LOSS_OF_GUESSING, 1.4  # a height, and a factor for each curve
LEGEND = {"fontsize": 10, "framealpha": 0.8, "edgecolor": "none", "labelspacing": 0.3}
LOWEST = 0.7  # the scale of the losses reaches down to here at least
LIGHTEST = 0.4  # of a method's colour, for the smallest beta


def sweep_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw the final training loss by learning rate; by method if there are several betas."""
    with_beta = [curve for curve in curves if curve.beta is not None]
    return beta_figure(curves, origin) if with_beta else rate_figure(curves, origin)


def rate_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw all the methods into one panel, and the test accuracy into another."""
    with slide(TITLE, origin) as figure:
        styles = [style(curve.method) for curve in curves]
        top = draw_legend(figure, [(s, c.label) for s, c in zip(styles, curves, strict=True)])
        loss, accuracy = figure.subplots(1, 2, gridspec_kw={"top": top, "wspace": 0.15, **MARGINS})
        loss_panel(loss, "Final training loss", curves, styles)
        mark_heights([loss])
        accuracy_panel(accuracy, curves, styles)
    return figure


def beta_figure(curves: Sequence[Curve], origin: str) -> Figure:
    """Draw a panel for each method that has a beta, and one for all that have none."""
    groups = by_method(curves)
    columns = min(PANELS_IN_A_ROW, ceil(len(groups) / 2))
    with slide(TITLE_WITH_BETA, origin) as figure:
        grid = figure.add_gridspec(ceil(len(groups) / columns), columns, **BETA_GRID)
        panels: list[Axes] = []
        for place, (title, group) in zip(grid, groups.items(), strict=False):
            panels.append(figure.add_subplot(place, sharey=panels[0] if panels else None))
            loss_panel(panels[-1], title, group, shades(group))
            panels[-1].legend(**LEGEND)
        mark_heights(panels)
        label_outside(panels, columns)
    return figure


def label_outside(panels: Sequence[Axes], columns: int) -> None:
    """Take the numbers from the panels that have another to their left, or below them."""
    for index, panel in enumerate(panels):
        if index % columns:
            panel.tick_params(labelleft=False)
        if index + columns < len(panels):
            panel.tick_params(labelbottom=False)
            panel.set_xlabel("")


def by_method(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each panel, by its title."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        title = "without beta" if curve.beta is None else curve.method.label
        groups.setdefault(title, []).append(curve)
    return groups


def shades(curves: Sequence[Curve]) -> list[Style]:
    """Each method's own style, or from light to full where one method has several betas."""
    from matplotlib.colors import to_hex, to_rgb

    if curves[0].beta is None:
        return [style(curve.method) for curve in curves]
    colour, line = style(curves[0].method)
    strengths = [LIGHTEST + (1 - LIGHTEST) * (i + 1) / len(curves) for i in range(len(curves))]
    return [
        (to_hex([1 - strength * (1 - channel) for channel in to_rgb(colour)]), line)
        for strength in strengths
    ]


def loss_panel(panel: Axes, title: str, curves: Sequence[Curve], styles: Sequence[Style]) -> None:
    """Draw final training losses, and above them a cross for every run that diverged."""
    for row, (curve, (colour, line)) in enumerate(zip(curves, styles, strict=True)):
        height = FIRST_CROSS * NEXT_CROSS**row
        losses = [height if r.diverged else r.final.train_loss for r in curve.results]
        label = curve.method.label if curve.beta is None else f"beta {curve.beta:g}"
        panel.plot(rates(curve.results), losses, line, color=colour, label=label, marker="o", ms=5)
        diverged = [result for result in curve.results if result.diverged]
        panel.plot(rates(diverged), [height] * len(diverged), "X", color=colour, ms=9)
    panel.set(title=title, xlabel="learning rate", yscale="log")
    level_decades(panel)


def mark_heights(panels: Sequence[Axes]) -> None:
    """Name what stands for no loss: the height of guessing, and the shaded place of crosses."""
    low, high = panels[0].get_ylim()
    low, high, shade = min(low, LOWEST), max(high, FIRST_CROSS), FIRST_CROSS / NEXT_CROSS
    decades = [tick for tick in panels[0].get_yticks() if low < tick < LOSS_OF_GUESSING]
    heights = [*decades, LOSS_OF_GUESSING, sqrt(shade * high)]
    names = [*(f"{decade:g}" for decade in decades), "guessing", "diverged"]
    for panel in panels:
        panel.axhline(LOSS_OF_GUESSING, color=GREY, linewidth=1, linestyle="--", zorder=1)
        panel.axhspan(shade, high, color=SHADE, linewidth=0, zorder=0.5)
        panel.set_yticks(heights, names)
        panel.minorticks_off()
        panel.set_ylim(low, high)


def accuracy_panel(panel: Axes, curves: Sequence[Curve], styles: Sequence[Style]) -> None:
    """Draw final test accuracies."""
    for curve, (colour, line) in zip(curves, styles, strict=True):
        accuracies = [result.final.test_accuracy for result in curve.results]
        panel.plot(rates(curve.results), accuracies, line, color=colour, marker="o", ms=5)
    panel.set(title="Final test accuracy", xlabel="learning rate")
    level_decades(panel)
    accuracy_scale(panel)


def rates(results: Sequence[Result]) -> list[float]:
    """Their learning rates."""
    return [result.trial.learning_rate for result in results]
