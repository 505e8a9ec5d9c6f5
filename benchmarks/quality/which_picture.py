"""The picture of `which`: a path for each family, with its members' losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuopt.demo.rows_picture import (
    CAPTION,
    ROW,
    ROW_SIZE,
    colour_rows,
    name_rows,
    plain_bar,
)
from gpuopt.demo.style import BLACK, BLUE, GREY, ORANGE, PALE, page
from gpuopt.demo.training import LOSS_OF_GUESSING

from .paths import LOWEST_AT, START, height
from .results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "What the learning rate does to each optimizer"
LEAST = 5
"""The minimum number of rows per family, to leave room for its path."""

TITLES = {"digits": "Digits: training loss", "transformer": "Characters: held-out loss"}

BAR_TICKS = {"digits": (1e-4, 0.01, 1.0), "transformer": (2.0, 2.2, 2.5, 3.0)}

LIGHTEST = {"digits": LOSS_OF_GUESSING, "transformer": 3.2}
"""The losses of the lightest colour: of guessing, and of predicting character frequencies."""

WIDTHS = (1.9, 3.0, 3.0)
"""The relative widths of the columns."""

X, Y = (-2.0, 2.2), (-0.6, 1.8)
"""The limits of the drawn part of the bowl."""


def which_figure(results: Results) -> Figure:
    """Draw a row of panels for each family, and bars for the colours below."""
    families = results.families()
    rooms = [max(LEAST, len(members)) for members in families.values()]
    inches = ROW * (sum(rooms) + 1.9 * len(rooms) + 2)
    with page(TITLE, f"{CAPTION}. {results.origin}", inches) as sheet:
        grid = sheet.figure.add_gridspec(
            len(rooms) + 1, 3, width_ratios=WIDTHS, height_ratios=[*rooms, 0.5]
        )
        for row, (family, members) in enumerate(families.items()):
            path_panel(sheet.figure.add_subplot(grid[row, 0]), family, results.paths)
            for column, task in enumerate(TITLES, 1):
                panel = sheet.figure.add_subplot(grid[row, column])
                mesh = task_panel(panel, task, members, results)
                panel.tick_params(labelbottom=row == len(rooms) - 1, labeltop=row == 0)
                if row == 0:
                    panel.set_title(TITLES[task])
                    bar_below(sheet.figure, grid[-1, column], mesh, BAR_TICKS[task])
    return sheet.figure


def task_panel(panel: Axes, task: str, names: Sequence[str], results: Results) -> Any:
    """Draw the losses of a family, followed by the lowest of each row."""
    rates = results.rates(task)
    rows = [results.losses(name, task) for name in names]
    mesh = colour_rows(panel, rows, (results.lowest(task), LIGHTEST[task]), rates)
    for row, name in enumerate(names):
        best = results.best(name, task)
        text = "-" if best is None else loss_text(best[1], task)
        panel.text(len(rates) - 0.2, row, text, va="center", size=ROW_SIZE - 1, color=GREY)
    name_rows(panel, names if task == "digits" else [""] * len(names), LEAST)
    decades = [i for i, rate in enumerate(rates) if f"{rate:e}".startswith("1.")]
    panel.set_xticks(decades, [short(rates[i]) for i in decades])
    for i in decades:
        panel.axvline(i, color=PALE, linewidth=0.7, zorder=0.5)
    panel.tick_params(length=0, labelsize=ROW_SIZE)
    panel.spines[:].set_visible(False)
    return mesh


def loss_text(loss: float, task: str) -> str:
    """Return a loss with a few digits."""
    return f"{loss:.2g}" if task == "digits" else f"{loss:.2f}"


def short(rate: float) -> str:
    """Return a power of ten in four characters.

    >>> short(0.001), short(0.01), short(10.0)
    ('1e-3', '0.01', '10')
    """
    return f"{rate:g}" if rate >= 0.01 else f"1e-{-round(np.log10(rate))}"


def bar_below(figure: Any, place: Any, mesh: Any, ticks: Sequence[float]) -> None:
    """Draw the bar of a task's colours below its panels."""
    room = figure.add_subplot(place)
    room.set_axis_off()
    bar = figure.colorbar(mesh, ax=room, orientation="horizontal", fraction=1.0, aspect=30)
    plain_bar(bar)
    bar.set_ticks([tick for tick in ticks if mesh.norm.vmin <= tick <= mesh.norm.vmax])
    bar.ax.tick_params(labelsize=ROW_SIZE)


def path_panel(panel: Axes, family: str, paths: Sequence[Mapping[str, Any]]) -> None:
    """Draw the path of a family's example over the bowl."""
    panel.set_title(family)
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    x, y = np.meshgrid(np.linspace(*X, 85), np.linspace(*Y, 47))
    panel.contour(x, y, height(x, y), np.geomspace(0.05, 80.0, 9), colors=PALE, linewidths=0.8)
    for path in paths:
        if path["family"] == family:
            look = {"linewidth": 1.0, "marker": "o", "markersize": 1.5, "color": BLUE}
            panel.plot(path["x"], path["y"], **look)
            text = f"{path['name']}, lr {path['lr']:g}"
            panel.set_xlabel(text, size=ROW_SIZE - 1, labelpad=1, loc="left")
    panel.plot(*START, color=BLACK, marker="o", markersize=4)
    panel.plot(*LOWEST_AT, color=ORANGE, marker="*", markersize=8)
    panel.set(xlim=X, ylim=Y, xticks=[], yticks=[], aspect="equal", anchor="NW")
