"""The tables of the pages in docs/, written from the data in docs/benchmarks.

``python -m benchmarks.tables`` writes each table between the lines ``<!-- table: NAME -->`` and
``<!-- end of table -->`` of a page; ``--check`` says which pages are not up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from . import demo, devices, memory, quality, steps, storages
from .cells import DATA

__all__ = ["DATA", "DOCS", "TABLES", "filled", "main", "pages", "write"]

DOCS = DATA.parent

MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    from .. import command_line  # needs typer, unlike the pages

    return command_line.run(command_line.single(write, __doc__), "benchmarks.tables", arguments)


def write(check: bool = False) -> None:
    """Write the tables; or check them, and exit with 1 if a page is not up to date."""
    old = [page for page in pages() if filled(page) != page.read_text(encoding="utf-8")]
    for page in old:
        print(f"{page}: {'not up to date' if check else 'written'}")
        if not check:
            page.write_text(filled(page), encoding="utf-8")
    if check and old:
        raise SystemExit(1)


def pages() -> list[Path]:
    """Return the pages that have tables."""
    found = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
    return [page for page in found if MARKED.search(page.read_text("utf-8"))]


def filled(page: Path) -> str:
    """Return the text of a page with updated tables."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}{TABLES[found[2]]()}\n{found[3]}"

    return MARKED.sub(table, page.read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[], str]] = {
    "readme": storages.readme_table,
    "speed": steps.speed_table,
    "extra": steps.extra_table,
    "rules": steps.rules_table,
    "tail": steps.tail_table,
    "references": steps.references_table,
    "host": steps.host_table,
    "groups": steps.groups_table,
    "storage": lambda: storages.storage_table("storage"),
    "storage-one-core": lambda: storages.storage_table("storage-one-core"),
    "whole-tail": storages.whole_tail_table,
    "cache": storages.cache_table,
    "memory": memory.memory_table,
    "in-backward": memory.in_backward_table,
    "losses": quality.losses_table,
    "hard": quality.hard_table,
    "drift": quality.drift_table,
    "means": quality.means_table,
    "which": quality.which_table,
    "sharded": devices.sharded_table,
    "processes": devices.processes_table,
    "compare": demo.compare_table,
    "warnings": demo.warnings_table,
}
"""The tables, by name."""
