"""Tables of rich's on narrow terminals: whole columns go before a name is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_UNLIMITED = 10_000
"""Columns: as wide as any table wants to be."""


def fit(console: Console, table: Table, first: Sequence[str] = ()) -> str:
    """Make a table fit into a console; return a line that says what is left out, if anything is.

    Less padding comes first; then columns go, but for that of the names, which is the first; then
    texts are folded. A column that wraps (``no_wrap`` is False) needs room for its longest word.

    Args:
        console: where it is to be printed.
        table: changed in place.
        first: the heads of the columns to go first, in order; the others go from the right.
    """
    if _needs(console, table) > console.width:
        table.padding = 0
    heads = [str(column.header) for column in table.columns]
    order = [head for head in first if head in heads[1:]]
    order += [head for head in reversed(heads[1:]) if head not in order]
    gone = []
    for head in order:
        if _needs(console, table) <= console.width:
            break
        at = [str(column.header) for column in table.columns].index(head)
        del table.columns[at]
        gone.append(head)
    if _needs(console, table) > console.width:
        for column in table.columns:
            column.no_wrap, column.overflow = False, "fold"
    names = ", ".join(" ".join(head.split()) for head in heads if head in gone)
    return f"No room for: {names}." if gone else ""


def _needs(console: Console, table: Table) -> int:
    """Return the columns that a table takes where nothing that must not wrap does."""
    from rich.measure import Measurement

    options = console.options.update_width(_UNLIMITED)
    room = console.measure(table, options=options).maximum
    for column in table.columns:
        if not column.no_wrap:
            cells = [Measurement.get(console, options, c) for c in (column.header, *column.cells)]
            room -= max(cell.maximum for cell in cells) - max(cell.minimum for cell in cells)
    return room
