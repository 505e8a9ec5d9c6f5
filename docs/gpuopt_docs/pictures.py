"""The picture of an optimizer: its path down a valley, and its height beside gradient descent's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

import gpuopt
from gpuopt.demo.style import BLUE, GREY, ORANGE, SKY
from gpuopt.rules.definitions import DEFINITIONS, Definition

from .descent import RATES, START, STEPS, Descent, best_descent, height
from .stubs import slug

BASE = "SGD"


LIGHT = {"text": "#333333", "lines": "#b9c4cc", "ours": BLUE, "base": GREY}
DARK = {"text": "#d0d0d0", "lines": "#4c5760", "ours": SKY, "base": ORANGE}
"""The colours on a light and on a dark page."""


def draw_all(folder: Path) -> None:
    """Write ``NAME-PART-light.svg`` and ``NAME-PART-dark.svg`` for each optimizer and part."""
    folder.mkdir(parents=True, exist_ok=True)
    with gpuopt.use_backend("numpy"):  # the same bits as any other, without compiling
        for definition in DEFINITIONS.values():
            for part, draw in PARTS.items():
                light = drawn(definition, draw)
                name = f"{slug(definition.name)}-{part}"
                (folder / f"{name}-light.svg").write_text(light, encoding="utf-8")
                (folder / f"{name}-dark.svg").write_text(darkened(light), encoding="utf-8")


def darkened(picture: str) -> str:
    """Return a picture in the colours of a dark page."""
    for name, colour in LIGHT.items():
        picture = picture.replace(colour, DARK[name])
    return picture


@cache
def _best(name: str) -> Descent:
    return best_descent(DEFINITIONS[name])


def caption(definition: Definition) -> str:
    """Return what the picture shows, for those who do not see it."""
    with gpuopt.use_backend("numpy"):
        lr = _best(definition.name).lr
    return (
        f"{definition.name} with lr = {lr:g} and its defaults in Rosenbrock's valley: its path, "
        f"and its height after each of {STEPS} steps, beside gradient descent's. Both have the "
        f"best of {len(RATES)} learning rates, by the mean height of the last half."
    )


def drawn(definition: Definition, draw: Callable[[Any, Definition, Descent], None]) -> str:
    """Return a part of a picture as SVG; the same text each time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings = {
        "svg.hashsalt": definition.name,
        "svg.fonttype": "path",
        "font.size": 10,
        "text.color": LIGHT["text"],
        "axes.edgecolor": LIGHT["lines"],
        "axes.labelcolor": LIGHT["text"],
        "xtick.color": LIGHT["text"],
        "ytick.color": LIGHT["text"],
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context({**mpl.rcParamsDefault, **settings, "backend": "agg"}):
        figure = Figure(figsize=(4.0, 3.3), layout="constrained")
        draw(figure.add_subplot(), definition, _best(definition.name))
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return text.getvalue()


def _draw_path(axes: Any, definition: Definition, found: Descent) -> None:
    x, y = np.meshgrid(np.linspace(-2.0, 2.0, 81), np.linspace(-1.0, 3.0, 81))
    levels = np.geomspace(0.02, 200.0, 13)
    axes.contour(x, y, height(x, y), levels, colors=LIGHT["lines"], linewidths=0.7)
    axes.plot(*found.points.T, color=LIGHT["ours"], linewidth=1.2, marker="o", markersize=2.2)
    axes.plot(*START, color=LIGHT["text"], marker="o", markersize=5)
    axes.plot(1.0, 1.0, color=LIGHT["text"], marker="*", markersize=9)
    axes.set(xlim=(-2.0, 2.0), ylim=(-1.0, 3.0), xlabel="x", ylabel="y", aspect="equal")


def _draw_heights(axes: Any, definition: Definition, found: Descent) -> None:
    if definition.name != BASE:
        look = {"color": LIGHT["base"], "linewidth": 1.2, "linestyle": "--"}
        axes.plot(_best(BASE).heights, label=BASE, **look)
    axes.plot(found.heights, color=LIGHT["ours"], linewidth=1.8, label=definition.name)
    axes.set(yscale="log", ylim=(1e-8, 1e2), xlim=(0, STEPS), xlabel="step", ylabel="height")
    axes.legend(frameon=False, labelcolor=LIGHT["text"], loc="lower left")


PARTS = {"path": _draw_path, "heights": _draw_heights}
"""The parts of a picture, by name."""
