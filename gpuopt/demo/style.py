"""The style of all plots: fonts, colours, lines, and the layout of title, caption and legend.

The plots of the demo and of the benchmarks are drawn on a `page`. Matplotlib is imported when one
is created, and needs no display.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from matplotlib.ticker import Locator

BLACK, GREY, PALE, SHADE = "#222222", "#5f5f5f", "#e2e2e2", "#f0f0f0"
# Okabe and Ito's colours, for colour-blind readers
ORANGE, SKY, GREEN, PINK, RED, BLUE = (
    *("#e69f00", "#56b4e9", "#009e73"),
    *("#cc79a7", "#d55e00", "#0072b2"),
)
Style = tuple[str, str]  # colour and line
STYLES: dict[str, Style] = {  # methods of one family share a colour
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
INDIGO, WINE, OLIVE, TEAL = "#332288", "#882255", "#999933", "#44aa99"  # Paul Tol's, likewise
FURTHER: list[Style] = [
    (colour, line) for line in ("-", "--", ":", "-.") for colour in (INDIGO, WINE, OLIVE, TEAL)
]
"""The styles of other methods, in order of use."""

MOST_LINES = len(FURTHER)
"""The maximum number of lines in a picture: more methods are shown as rows."""

SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.size": 12,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "text.color": BLACK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
RING: dict[str, Any] = {"marker": "o", "markersize": 8, "mfc": "white", "mew": 2}
CROSS: dict[str, Any] = {"marker": "X", "markersize": 8}
LIMIT: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": "--", "zorder": 1}
"""A reference line."""

WIDTH, TALL, FLAT, DPI = 9.0, 5.7, 4.2, 200  # inches: small, so that text is large on a phone
MARGIN, GAP = 0.13, 0.09  # inches
LEFT = MARGIN / WIDTH
TITLE_SIZE, CAPTION_SIZE = 17, 10
TITLE_WIDTH, CAPTION_WIDTH = 66, 120  # maximum characters per line
MOST_COLUMNS = 6
Entry = tuple[dict[str, Any], str]  # the style of a line, and its label


class Page:
    """A figure with title, caption and legend at the top.

    Attributes:
        figure: takes the panels; they share the space below.
    """

    figure: Figure

    def __init__(self, title: str, caption: str, room: float = TALL) -> None:
        """Draw title and caption; ``room`` is the height of the panels in inches."""
        from matplotlib.figure import Figure

        self.figure = Figure((WIDTH, room), dpi=DPI, layout="constrained")
        self._room = room
        self._head: list[tuple[Text | Legend, float]] = []  # with their heights in inches
        self._write(title, TITLE_WIDTH, size=TITLE_SIZE, weight="bold")
        self._write(caption, CAPTION_WIDTH, size=CAPTION_SIZE, color=GREY)

    def legend(self, entries: Sequence[Entry]) -> None:
        """Add a legend, in row order and with as few rows as fit."""
        from matplotlib.lines import Line2D

        lines = [(Line2D([], [], **look), name) for look, name in entries]
        for rows in range(ceil(len(lines) / MOST_COLUMNS), len(lines) + 1):
            legend = self._legend(lines, ceil(len(lines) / rows))
            if legend.get_window_extent().x1 <= self._right or rows == len(lines):
                return self._add(legend)
            legend.remove()

    def _legend(self, lines: Sequence[tuple[Line2D, str]], columns: int) -> Legend:
        by_column = [line for column in range(columns) for line in lines[column::columns]]
        handles, names = zip(*by_column, strict=True)
        return self.figure.legend(
            handles,
            names,
            loc="upper left",
            bbox_to_anchor=(LEFT, 1),
            ncols=columns,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.6,
            columnspacing=1.6,
            labelspacing=0.3,
        )

    def _write(self, text: str, width: int, **how: Any) -> None:
        """Draw text, wrapped at so many characters, or fewer if the lines are too wide."""
        if not text:
            return
        written = self.figure.text(LEFT, 1, text, va="top", **how)
        for characters in range(width, width // 2, -2):
            written.set_text("\n".join(wrap(text, characters, break_on_hyphens=False)))
            if written.get_window_extent().x1 <= self._right:
                break
        self._add(written)

    @property
    def _right(self) -> float:
        right: float = self.figure.bbox.x1 - MARGIN * self.figure.dpi
        return right

    def _add(self, item: Text | Legend) -> None:
        """Add an item below those at the top, and increase the figure's height by its own."""
        item.set_in_layout(False)
        self._head.append((item, item.get_window_extent().height / self.figure.dpi + GAP))
        height = MARGIN + sum(inches for _, inches in self._head) + self._room
        self.figure.set_size_inches(WIDTH, height)
        top = height - MARGIN
        for each, inches in self._head:
            place = (LEFT, top / height)
            _move(each, place)
            top -= inches
        engine: Any = self.figure.get_layout_engine()
        edge = MARGIN / 2 / height
        engine.set(wspace=0.05, rect=(LEFT / 2, edge, 1 - LEFT, top / height - edge))


def _move(item: Text | Legend, place: tuple[float, float]) -> None:
    from matplotlib.text import Text

    if isinstance(item, Text):
        item.set_position(place)
    else:
        item.set_bbox_to_anchor(place)


@contextmanager
def page(title: str, caption: str, room: float = TALL) -> Iterator[Page]:
    """Yield a new page; plots drawn inside the block have its style."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        yield Page(title, caption, room)


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each method, by name; there may be `MOST_LINES` of them."""
    unique = dict.fromkeys(names)
    further = iter(FURTHER)
    return {name: STYLES.get(name) or next(further) for name in unique}


def look_of(style: Style) -> dict[str, Any]:
    """Return matplotlib's arguments for a colour and a line."""
    colour, line = style
    return {"color": colour, "linestyle": line}


def no_ticks() -> Locator:
    """Return a locator without ticks."""
    from matplotlib.ticker import NullLocator

    return NullLocator()
