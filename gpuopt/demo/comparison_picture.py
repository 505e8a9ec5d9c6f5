"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from gpuopt.demo.comparison import Result
from gpuopt.demo.slide import (
    GREY,
    MARGINS,
    accuracy_scale,
    draw_legend,
    slide,
    style,
    upright_decades,
)
from gpuopt.demo.training import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RING = {"markersize": 8, "markerfacecolor": "white", "markeredgewidth": 2, "zorder": 3}


def comparison_figure(results: Sequence[Result], origin: str) -> Figure:
    """Draw losses and accuracy by epoch, and under them the gradient norm of each layer."""
    with slide("Gradient descent and its relatives learn handwritten digits", origin) as figure:
        styles = [style(result.trial.method) for result in results]
        top = draw_legend(figure, list(zip(styles, labels(results), strict=True)))
        grid = figure.add_gridspec(2, 1, top=top, hspace=0.37, **MARGINS)
        losses = [figure.add_subplot(cell) for cell in grid[0].subgridspec(1, 3, wspace=0.17)]
        loss_panel(losses[0], "Training loss", results, lambda epoch: epoch.train_loss)
        loss_panel(losses[1], "Test loss", results, lambda epoch: epoch.test_loss)
        mark_overfitting(losses[1], results)
        accuracy_panel(losses[2], results)
        gradient_panels(figure, grid[1], results)
    return figure


def labels(results: Sequence[Result]) -> list[str]:
    """Their methods, with the learning rates where these are not all the same."""
    rates = [result.trial.learning_rate for result in results]
    names = [result.trial.method.label for result in results]
    if len(set(rates)) == 1:
        return names
    return [f"{name}, lr {rate:g}" for name, rate in zip(names, rates, strict=True)]


def draw_course(panel: Axes, result: Result, value: Callable[[Epoch], float]) -> None:
    """A quantity by epoch, with a cross where the method ended at NaN."""
    colour, line = style(result.trial.method)
    points = [(e.number, value(e)) for e in result.epochs if isfinite(value(e))]
    panel.plot(*zip(*points, strict=True), line, color=colour)
    if not result.final.finite:
        panel.plot(*points[-1], "X", color=colour, markersize=9, clip_on=False)


def loss_panel(
    panel: Axes, title: str, results: Sequence[Result], value: Callable[[Epoch], float]
) -> None:
    """Draw a loss by epoch."""
    course_panel(panel, title, results, value)
    upright_decades([panel])


def accuracy_panel(panel: Axes, results: Sequence[Result]) -> None:
    """Draw the test accuracy by epoch."""
    course_panel(panel, "Test accuracy", results, lambda epoch: epoch.test_accuracy)
    accuracy_scale(panel)


def course_panel(
    panel: Axes, title: str, results: Sequence[Result], value: Callable[[Epoch], float]
) -> None:
    """Draw a quantity of all results by epoch."""
    for result in results:
        draw_course(panel, result, value)
    last = max(result.final.number for result in results)
    panel.set(title=title, xlabel="epoch", xlim=(-0.02 * last, 1.02 * last))
    panel.xaxis.get_major_locator().set_params(integer=True)


def mark_overfitting(panel: Axes, results: Sequence[Result]) -> None:
    """Put a ring where the watch noticed it, and say what the rings are."""
    noticed = [
        (result, result.epochs[finding.epoch])
        for result in results
        for finding in result.findings
        if finding.kind == "overfitting"
    ]
    for result, epoch in noticed:
        colour, _ = style(result.trial.method)
        panel.plot(epoch.number, epoch.test_loss, "o", mec=colour, **RING)
    if noticed:
        panel.plot([], [], "o", mec=GREY, **RING, label="overfitting noticed")
        panel.legend(loc="upper right", frameon=False, labelcolor=GREY, handletextpad=0.2)


def gradient_panels(figure: Figure, cell: Any, results: Sequence[Result]) -> None:
    """Draw one panel for each layer, on one scale."""
    layers = len(results[0].final.gradient_norms)
    panels: list[Axes] = []
    for layer, place in enumerate(cell.subgridspec(1, layers, wspace=0.17)):
        panels.append(figure.add_subplot(place, sharey=panels[0] if panels else None))
        course_panel(panels[-1], f"Gradient norm, layer {layer + 1}", results, norm_of(layer))
    upright_decades(panels)
    for panel in panels[1:]:
        panel.tick_params(labelleft=False)


def norm_of(layer: int) -> Callable[[Epoch], float]:
    """Where an epoch has the gradient norm of a layer, counted from 0."""
    return lambda epoch: epoch.gradient_norms[layer]
