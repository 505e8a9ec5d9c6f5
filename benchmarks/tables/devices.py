"""Tables of what each rank of a sharded model holds and moves."""

from __future__ import annotations

from ..names import model_name
from ..report import seconds_text
from .cells import data_of, table

SHARDED = (
    ("124M", 1),
    ("124M", 1024),
    ("7B", 8),
    ("7B", 64),
    ("7B", 1024),
    ("70B", 64),
    ("70B", 1024),
)
"""Model sizes and numbers of ranks."""


def sharded_table() -> str:
    """Return the computed memory and traffic of a rank."""
    from ..scaling.computed import rank_row

    names = ("elements", "tables", "memory", "traffic", "floor")
    rows = [rank_row(model, ranks) for model, ranks in SHARDED]
    return table(
        ("", "ranks", *names[:-1], "at an H100's bandwidth"),
        [(row[""], row["ranks"], *(row[name] for name in names)) for row in rows],
    )


def processes_table() -> str:
    """Return the measured steps of one and two processes."""
    data = data_of("scaling")
    head = ("", "processes", "", "elements per rank", "time per step", "bytes per element")
    rows = [
        (
            model_name(one["model"]),
            str(one["processes"]),
            one["optimizer"],
            f"{one['elements']:,}",
            seconds_text(one["milliseconds"] / 1e3) if one["milliseconds"] else "",
            f"{one['bytes']:.2f}" if one["bytes"] and one["elements"] > 1e6 else "",
        )
        for one in data["rows"]
    ]
    return table(head, rows) + f"\n\n*{data['date'][:10]}; `{data['command']}`*"
