"""Tables: rich's on a terminal, aligned text in pipes or if rich is not installed.

``gpuopt doctor`` and ``gpuopt verify`` have to run with NumPy alone, and piped output has to be the
same on every machine, without colours and at full width: only terminals get rich's tables.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console

_UNLIMITED = 10_000
"""A width in characters that no table exceeds."""


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: the line above it; empty for none.
        heads: the names of the columns.
        rows: the cells of each row.
        header: whether to show the names of the columns.
        right: whether all columns but the first are aligned to the right.
        wraps: the columns whose cells may wrap on a narrow terminal.
        drops: the columns to drop first, in this order, on a narrow terminal.
        styles: rich's styles of cells, by their text.
    """

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    header: bool = True
    right: bool = False
    wraps: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    styles: Mapping[str, str] = field(default_factory=dict)


def show(table: Table, hint: str = "") -> None:
    """Print a table.

    Args:
        table: the table.
        hint: where to find the columns that do not fit on a narrow terminal.
    """
    if not (sys.stdout.isatty() and _show_rich(table, hint)):
        print(text_of(table))


def text_of(table: Table) -> str:
    """Return a table as text with aligned columns.

    >>> print(text_of(Table("Sizes", ("name", "bytes"), [("adam", "28"), ("sgd", "8")])))
    Sizes
      name  bytes
      adam  28
      sgd   8
    >>> print(text_of(Table("", ("", "same"), [("llvm", "12")], right=True)))
          same
    llvm    12
    """
    rows = [*([table.heads] if table.header else []), *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    align = str.rjust if table.right else str.ljust
    lines = []
    for first, *rest in filter(None, rows):
        cells = [first.ljust(widths[0]), *map(align, rest, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    indent = "  " if table.title else ""
    return "\n".join([*filter(None, [table.title]), *(f"{indent}{line}" for line in lines)])


def _show_rich(table: Table, hint: str) -> bool:
    """Print a table in colour; return False without rich."""
    try:
        from rich.console import Console
    except ImportError:
        return False
    console = Console(highlight=False, markup=False)
    made = _rich(table)
    left_out = fit(console, made, table.drops) if table.header else ""
    console.print(made)
    if left_out:
        console.print(f"{left_out} {hint}".rstrip(), style="dim")
    return True


def _rich(table: Table) -> rich.table.Table:
    """Return rich's table; markup in cells is escaped."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        title=Text(table.title, "bold") if table.title else None,
        title_justify="left",
        box=SIMPLE_HEAD if table.header else None,
        show_header=table.header,
    )
    for i, head in enumerate(table.heads):
        side: Literal["left", "right"] = "right" if table.right and i else "left"
        made.add_column(head, justify=side, no_wrap=head not in table.wraps)
    for row in table.rows:
        made.add_row(*(Text(cell, table.styles.get(cell, "")) for cell in row))
    return made


def fit(console: Console, table: rich.table.Table, first: Sequence[str] = ()) -> str:
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


def _required_width(console: Console, table: rich.table.Table) -> int:
    """Return the width at which only columns that may wrap do so."""
    from rich.measure import Measurement

    options = console.options.update_width(_UNLIMITED)
    room = console.measure(table, options=options).maximum
    for column in table.columns:
        if not column.no_wrap:
            cells = [Measurement.get(console, options, c) for c in (column.header, *column.cells)]
            room -= max(cell.maximum for cell in cells) - max(cell.minimum for cell in cells)
    return room
