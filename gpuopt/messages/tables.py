"""Fit rich tables to narrow terminals by dropping columns instead of truncating names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_UNLIMITED = 10_000
"""A width in characters that no table exceeds."""


def fit(console: Console, table: Table, first: Sequence[str] = ()) -> str:
    """Fit a table to a console; return a line that names the dropped columns, or "".

    First the padding is removed; then columns are dropped, except the first, which has the names;
    then texts are folded. A column with ``no_wrap=False`` may shrink to its longest word.

    Args:
        console: where it will be printed.
        table: changed in place.
        first: the headers of the columns to drop first, in order; the others follow from the right.
    """
    if _required_width(console, table) > console.width:
        table.padding = 0
    heads = [str(column.header) for column in table.columns]
    order = [head for head in first if head in heads[1:]]
    order += [head for head in reversed(heads[1:]) if head not in order]
    dropped = []
    for head in order:
        if _required_width(console, table) <= console.width:
            break
        at = [str(column.header) for column in table.columns].index(head)
        del table.columns[at]
        dropped.append(head)
    if _required_width(console, table) > console.width:
        for column in table.columns:
            column.no_wrap, column.overflow = False, "fold"
    names = ", ".join(" ".join(head.split()) for head in heads if head in dropped)
    return f"No room for: {names}." if dropped else ""


def _required_width(console: Console, table: Table) -> int:
    """Return the width at which only columns that may wrap do so."""
    from rich.measure import Measurement

    options = console.options.update_width(_UNLIMITED)
    room = console.measure(table, options=options).maximum
    for column in table.columns:
        if not column.no_wrap:
            cells = [Measurement.get(console, options, c) for c in (column.header, *column.cells)]
            room -= max(cell.maximum for cell in cells) - max(cell.minimum for cell in cells)
    return room
