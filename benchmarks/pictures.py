"""Pictures of a run: speed against size, times as fast as each peer, time against tensors."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .arguments import sizes
from .lines import Group, Line, Run
from .measure import COPY
from .models import MODELS
from .report import described

OURS_COLOURS = ("#0b6e4f", "#3aa981", "#94d2bd", "#6a994e")
PEER_COLOURS = (
    *("#c1121f", "#e07a1f", "#e9b44c", "#7b6d8d", "#5c7aea", "#b07aa1"),
    *("#8c564b", "#999999", "#f28482", "#1d3557", "#00b4d8"),
)
COPY_COLOUR = "#444444"

ROOFLINE, RATIOS, TENSORS = "roofline.png", "ratios.png", "tensors.png"

NEEDS = (
    f"{ROOFLINE} needs suite update on two sizes or more, {RATIOS} suite update on a model beside "
    f"a peer, {TENSORS} suite host with two numbers of tensors or more"
)
"""What each picture is made from."""


def draw(run: Run, folder: Path) -> list[Path]:
    """Write the pictures that a run has figures for; return their files.

    Raises:
        ModuleNotFoundError: without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, draw_it in ((ROOFLINE, _roofline), (RATIOS, _ratios), (TENSORS, _tensors)):
        figure = draw_it(run.groups)
        if figure is not None:
            text = "\n".join(textwrap.wrap(described(run), 165))
            figure.text(0.01, 0.012, text, fontsize=6.5, color="#666666")
            figure.savefig(folder / name, dpi=150)
            made.append(folder / name)
    return made


def _axes(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5))
    figure.subplots_adjust(left=0.1, right=0.74, top=0.9, bottom=0.17)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, which="major")
    return figure, axes


def _first(groups: Iterable[Group], fits: Callable[[Group], bool]) -> list[Group]:
    """Return the groups that fit and are of the rule and dtype of the first of them."""
    found = [group for group in groups if group.lines and fits(group)]
    return [
        group
        for group in found
        if (group.place.rule, group.place.dtype) == (found[0].place.rule, found[0].place.dtype)
    ]


def _contenders(groups: Sequence[Group]) -> dict[str, str]:
    """Return who is drawn, in which colour: gpuopt in greens, the copy in grey."""
    lines = {line.contender: line for group in groups for line in group.lines}
    ours = [name for name, line in lines.items() if line.ours]
    peers = [name for name, line in lines.items() if not line.ours and name != COPY]
    colours = {name: OURS_COLOURS[i % len(OURS_COLOURS)] for i, name in enumerate(ours)}
    colours |= {name: PEER_COLOURS[i % len(PEER_COLOURS)] for i, name in enumerate(peers)}
    return colours | ({COPY: COPY_COLOUR} if COPY in lines else {})


def _curves(axes: Any, points: dict[str, list[tuple[float, float]]], groups: list[Group]) -> None:
    ours = {line.contender for group in groups for line in group.lines if line.ours}
    for name, colour in _contenders(groups).items():
        if len(points.get(name, ())) < 1:
            continue
        xs, ys = zip(*sorted(points[name]))
        axes.plot(
            xs,
            ys,
            color=colour,
            label=f"gpuopt: {name}" if name in ours else name,
            linewidth=2.4 if name in ours else 1.3,
            linestyle=":" if name == COPY else "-",
            marker="" if name == COPY else "o" if name in ours else ".",
            markersize=4,
            zorder=3 if name in ours else 2,
        )
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)


def _points(
    groups: Sequence[Group], point: Callable[[Line], tuple[float, float | None]]
) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each contender's curve, where there is something to show."""
    points: dict[str, list[tuple[float, float]]] = {}
    for line in (line for group in groups for line in group.lines):
        x, y = point(line)
        if y:
            points.setdefault(line.contender, []).append((x, y))
    return points


def _roofline(groups: Sequence[Group]) -> Any:
    found = _first(groups, lambda group: group.place.suite == "update" and _is_size(group))
    if len(found) < 2:
        return None
    place = found[0].place
    figure, axes = _axes(f"Speed of a step of {place.rule} on one tensor, {place.dtype}")
    points = _points(found, lambda line: (line.elements, line.gigabytes_per_second))
    _curves(axes, points, found)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([group.lines[0].elements for group in found])
    axes.set_xticklabels([group.place.model for group in found])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("elements")
    axes.set_ylabel("GB/s, of the bytes that a step has to move")
    return figure


def _is_size(group: Group) -> bool:
    try:
        return group.place.model not in MODELS and bool(sizes(group.place.model))
    except Exception:
        return False


def _ratios(groups: Sequence[Group]) -> Any:
    def fits(group: Group) -> bool:
        return group.place.suite == "update" and group.place.model in MODELS

    found = _first(groups, fits)
    if not found:
        return None
    best = [_best(group) for group in found]
    peers = [
        name for name in _contenders(found) if any(name in line.times_as_fast_as for line in best)
    ]
    if not peers:
        return None
    place = found[0].place
    title = f"How many times as fast gpuopt's step of {place.rule} is, {place.dtype}"
    figure, axes = _axes(title)
    colours, width = _contenders(found), 0.84 / max(len(peers), 1)
    for i, peer in enumerate(peers):
        at = [place + (i - (len(peers) - 1) / 2) * width for place in range(len(found))]
        heights = [line.times_as_fast_as.get(peer, 0.0) for line in best]
        bars = axes.bar(at, heights, width * 0.9, color=colours[peer], label=f"than {peer}")
        texts = ["" if not h else f"{h:.2f}" if h < 9.5 else f"{h:.0f}" for h in heights]
        axes.bar_label(bars, texts, fontsize=7, padding=1)
    axes.axhline(1.0, color="#222222", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.grid(visible=False, axis="x")
    labels = [f"{g.place.model}\n{line.contender}" for g, line in zip(found, best)]
    axes.set_xticks(range(len(found)), labels)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    return figure


def _best(group: Group) -> Line:
    """Return gpuopt's line that people get by default: the first."""
    return next((line for line in group.lines if line.ours), group.lines[0])


def _tensors(groups: Sequence[Group]) -> Any:
    def fits(group: Group) -> bool:
        return group.place.suite == "host" and group.place.model.endswith(" tensors")

    found = _first(groups, fits)
    if len(found) < 2:
        return None
    place = found[0].place
    figure, axes = _axes(f"Step of {place.rule} over many tensors of 64 elements, {place.dtype}")
    points = _points(found, lambda line: (line.tensors, line.median and 1e6 * line.median))
    points.pop(COPY, None)
    _curves(axes, points, found)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([group.lines[0].tensors for group in found])
    axes.set_xticklabels([f"{group.lines[0].tensors:,}" for group in found])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(_time)
    axes.set_xlabel("tensors")
    axes.set_ylabel("time of a step")
    return figure


def _time(microseconds: float, _: object) -> str:
    return f"{microseconds:g} us" if microseconds < 1e3 else f"{microseconds / 1e3:g} ms"
