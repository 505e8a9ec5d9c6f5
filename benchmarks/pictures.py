"""Plots of a run: bandwidth against size, speedup over each peer, time against tensor count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gpuopt.demo.style import (
    BLUE,
    FLAT,
    GREEN,
    GREY,
    LIMIT,
    ORANGE,
    PINK,
    RED,
    SKY,
    Entry,
    Style,
    look_of,
    no_ticks,
    page,
)

from .lines import Group, Line, Run
from .measure import COPY
from .models import MODELS
from .names import contender_name, is_size, model_name, rule_name
from .report import described, on_device

STYLES: dict[str, Style] = {  # gpuopt's in blue; contenders of one family share a colour
    "llvm": (BLUE, "-"),
    "llvm, torch tensors": (BLUE, "--"),
    "llvm, drop-in": (BLUE, ":"),
    "numpy": (SKY, "-"),
    "triton": (BLUE, "-"),
    "triton, drop-in": (BLUE, ":"),
    "cupy": (SKY, "-"),
    "torch fused": (RED, "-"),
    "torch foreach": (RED, "--"),
    "torch for-loop": (RED, ":"),
    "torch compile": (RED, "-."),
    "textbook NumPy": (ORANGE, "-"),
    "numexpr": (ORANGE, "--"),
    "cupy.ElementwiseKernel": (ORANGE, "-"),
    "cupy.fuse": (ORANGE, "--"),
    "bitsandbytes": (PINK, "-"),
    "torchao": (PINK, "--"),
    "FlashOptim": (PINK, ":"),
    "apex": (PINK, "-."),
    "optimi": (GREEN, "-"),
    "DeepSpeed": (GREEN, "--"),
    COPY: (GREY, "-"),
}
OTHERS: Style = (GREY, "-.")
ROOM = 3.0  # width of the axis over the longest bar, for its label

ROOFLINE, RATIOS, TENSORS = "roofline.png", "ratios.png", "tensors.png"
Drawn = tuple[str, list[Entry], Callable[[Any], None]]
"""A title, a legend, and a function that draws the panels into a figure."""

NEEDS = (
    f"{ROOFLINE} needs suite update with two or more sizes, {RATIOS} suite update with a model and "
    f"a peer, {TENSORS} suite host with two or more values of --tensors"
)
"""The measurements that each plot needs."""


def draw(run: Run, folder: Path) -> list[Path]:
    """Write the plots that a run has figures for; return their files.

    Raises:
        ModuleNotFoundError: without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, plan in ((ROOFLINE, _roofline), (RATIOS, _ratios), (TENSORS, _tensors)):
        planned = plan(run.groups)
        if planned is not None:
            title, entries, draw_panels = planned
            with page(title, described(run), FLAT) as sheet:
                if entries:
                    sheet.legend(entries)
                draw_panels(sheet.figure)
                sheet.figure.savefig(folder / name)
            made.append(folder / name)
    return made


def _first(groups: Iterable[Group], fits: Callable[[Group], bool]) -> list[Group]:
    """Return the matching groups that share rule and dtype with the first of them."""
    found = [group for group in groups if group.lines and fits(group)]
    return [
        group
        for group in found
        if (group.place.rule, group.place.dtype) == (found[0].place.rule, found[0].place.dtype)
    ]


# --- curves -------------------------------------------------------------------------------------

Points = dict[str, list[tuple[float, float]]]


def _points(groups: Sequence[Group], point: Callable[[Line], tuple[float, float | None]]) -> Points:
    """Return the points of each contender's curve, without missing figures."""
    points: Points = {}
    for line in (line for group in groups for line in group.lines):
        x, y = point(line)
        if y:
            points.setdefault(line.contender, []).append((x, y))
    return points


def _looks(groups: Sequence[Group], points: Points) -> dict[str, Entry]:
    """Return the style and full name of each contender: gpuopt's first, the copy loop last."""
    lines = {line.contender: line for group in groups for line in group.lines}
    order = sorted(points, key=lambda name: (name == COPY, not lines[name].ours))
    return {name: (_look(lines[name]), contender_name(name, lines[name].ours)) for name in order}


def _look(line: Line) -> dict[str, Any]:
    look = look_of(STYLES.get(line.contender, OTHERS))
    if line.contender == COPY:
        return {**look, "linewidth": 1.0, "zorder": 1.5}
    if line.ours:
        return {**look, "linewidth": 2.4, "marker": "o", "zorder": 3}
    return {**look, "linewidth": 1.4, "marker": ".", "zorder": 2}


def _curves(axes: Any, points: Points, looks: dict[str, Entry]) -> None:
    for name, (look, _) in looks.items():
        axes.plot(*zip(*sorted(points[name])), **look)
    axes.set_xscale("log")
    axes.set_yscale("log")


def _x_ticks(axes: Any, ticks: Sequence[int], names: Sequence[str]) -> None:
    axes.set_xticks(ticks, names)
    axes.minorticks_off()


def _roofline(groups: Sequence[Group]) -> Drawn | None:
    found = _first(groups, lambda g: g.place.suite == "update" and is_size(g.place.model))
    if len(found) < 2:
        return None
    points = _points(found, lambda line: (line.elements, line.gigabytes_per_second))
    looks = _looks(found, points)

    def panels(figure: Any) -> None:
        axes = figure.add_subplot()
        _curves(axes, points, looks)
        names = [model_name(group.place.model) for group in found]
        _x_ticks(axes, [group.lines[0].elements for group in found], names)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="elements", ylabel="GB/s that a step must move")

    place = found[0].place
    title = f"Speed of a step of {rule_name(place.rule)} on one tensor, {place.dtype}"
    return title, list(looks.values()), panels


def _tensors(groups: Sequence[Group]) -> Drawn | None:
    def fits(group: Group) -> bool:
        return group.place.suite == "host" and group.place.model.endswith(" tensors")

    found = _first(groups, fits)
    if len(found) < 2:
        return None
    figures: dict[str, Callable[[Line], float | None]] = {"time": lambda line: line.median}
    if on_device(found[0]):
        host = {"host": lambda line: line.host_seconds}
        figures = {"device": figures["time"], **host}
    points = {name: _microseconds(found, figure) for name, figure in figures.items()}
    looks = _looks(found, next(iter(points.values())))

    def panels(figure: Any) -> None:
        row = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, curves) in zip(row, points.items()):
            _curves(axes, curves, looks)
            counts = [group.lines[0].tensors for group in found]
            _x_ticks(axes, counts, [f"{count:,}" for count in counts])
            axes.yaxis.set_major_formatter(_time)
            axes.set(xlabel="tensors", title="" if name == "time" else name)
        row[0].set(ylabel="time of a step")

    place = found[0].place
    title = f"A step of {rule_name(place.rule)} over many tensors of 64 elements, {place.dtype}"
    return title, list(looks.values()), panels


def _microseconds(groups: Sequence[Group], figure: Callable[[Line], float | None]) -> Points:
    """Return a time of each contender but the copy against the number of tensors."""
    points = _points(groups, lambda line: (line.tensors, 1e6 * (figure(line) or 0)))
    points.pop(COPY, None)
    return points


def _time(microseconds: float, _: object) -> str:
    return f"{microseconds:g} us" if microseconds < 1e3 else f"{microseconds / 1e3:g} ms"


# --- bars ---------------------------------------------------------------------------------------


def _ratios(groups: Sequence[Group]) -> Drawn | None:
    def fits(group: Group) -> bool:
        return group.place.suite == "update" and group.place.model in MODELS

    found = _first(groups, fits)
    best = [_best(group) for group in found]
    peers = list(dict.fromkeys(peer for line in best for peer in line.times_as_fast_as))
    if not peers:
        return None

    label = "times as fast on the device" if on_device(found[0]) else "times as fast"

    def panels(figure: Any) -> None:
        axes = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
        ratios = [ratio for line in best for ratio in line.times_as_fast_as.values()]
        for panel, group, line in zip(axes, found, best):
            _bars(panel, [line.times_as_fast_as.get(peer) for peer in peers])
            panel.set(title=model_name(group.place.model), xlabel=label)
            panel.set_xlim(0.6 * min(1.0, *ratios), ROOM * max(1.0, *ratios))
        axes[0].set_yticks(range(len(peers)), peers)
        axes[0].invert_yaxis()

    place, whose = found[0].place, contender_name(best[0].contender, ours=True)
    title = f"{rule_name(place.rule)} of {whose}: times as fast as others, {place.dtype}"
    return title, [], panels


def _bars(panel: Any, ratios: Sequence[float | None]) -> None:
    """Draw a bar from 1 for each ratio, with its value beside it."""
    for row, ratio in enumerate(ratios):
        if ratio is not None:
            panel.barh(row, ratio - 1, left=1, height=0.7, color=BLUE if ratio >= 1 else ORANGE)
        text = "not run" if ratio is None else f"{ratio:.2f}" if ratio < 9.5 else f"{ratio:.0f}"
        right = max(ratio or 1.0, 1.0)
        place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        panel.annotate(text, (right, row), fontsize=10, color=GREY, bbox=box, **place)
    panel.set_xscale("log")
    panel.axvline(1.0, **{**LIMIT, "linestyle": "-"})
    panel.xaxis.set_major_formatter("{x:g}x")
    panel.xaxis.set_minor_locator(no_ticks())
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def _best(group: Group) -> Line:
    """Return gpuopt's first line: its default."""
    return next((line for line in group.lines if line.ours), group.lines[0])
