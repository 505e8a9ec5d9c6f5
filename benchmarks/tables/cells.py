"""The data of the tables of the pages, and what several of them have in their cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..lines import Group, Line, Run, read
from ..names import contender_name
from ..report import Row, described, seconds_text

DATA = Path(__file__).parents[2] / "docs" / "benchmarks"


@cache
def data_of(name: str) -> Any:
    """Return the content of a file."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


@cache
def run_of(name: str) -> Run:
    """Return the run of a file."""
    return read(DATA / f"{name}.json")


def groups(name: str, **place: str) -> list[Group]:
    """Return the groups of a file at a place."""
    return [
        group
        for group in run_of(name).groups
        if all(getattr(group.place, key) == value for key, value in place.items())
    ]


def table(head: Row, rows: Iterable[Row], *sources: str) -> str:
    """Return a table in Markdown, followed by the source of its data."""
    lines = [head, ("---",) * len(head), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join((text, *map(source, sources)))


def source(name: str) -> str:
    """Return the source of a file's data."""
    return f"*{described(run_of(name))}*"


def contender(name: str, found: Sequence[Group]) -> str:
    """Return the name of a contender, in bold if it is ours."""
    line = next(line for group in found if (line := group.line(name)))
    full = name if name.startswith("gpuopt") else contender_name(name, line.ours)
    return f"**{full}**" if line.ours else full


def time(line: Line | None) -> str:
    """Return the time of a step."""
    return "" if line is None or line.median is None else seconds_text(line.median)


def ratio(line: Line | None, peer: str) -> str:
    """Return how many times as fast as a peer a step is."""
    found = None if line is None else line.times_as_fast_as.get(peer)
    return "" if found is None else f"{found:.2f}"


def bytes_of(group: Group, contender: str) -> str:
    """Return the bytes per element of a step."""
    line = group.line(contender)
    return "" if line is None or not line.bytes else f"{line.bytes / line.elements:g}"


def mebibytes(line: Line | None) -> str:
    """Return the memory that is needed beside the tensors, in MiB."""
    return "" if line is None or line.extra_bytes is None else f"{line.extra_bytes / 2**20:,.1f}"
