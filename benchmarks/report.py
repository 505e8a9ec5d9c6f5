"""What was measured, as tables for people and as data for programs."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from typing import Any

from gpuopt.doctor import report as machine_report

from .models import elements
from .ours import OURS
from .suite import COPY, Result
from .targets import TARGETS

SCHEMA = 1

Row = tuple[str, ...]


# --- data -----------------------------------------------------------------------------------


def load_average() -> float | None:
    """Return how many processes wanted a processor in the last minute, where it is known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def as_data(
    results: Sequence[Result], threads: int, rounds: int, load: float | None
) -> dict[str, Any]:
    """Return everything as plain data, ready for JSON; ``load`` was taken at the start."""
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine_report(),
        "load_average": load,
        "threads": threads,
        "rounds": rounds,
        "dtype": "float32",
        "results": [_result_data(result) for result in results],
        "targets": _targets_data(results),
    }


def _targets_data(results: Sequence[Result]) -> list[dict[str, Any]]:
    measured = [(target, target.measured(results)) for target in TARGETS]
    return [
        {"target": target.text, "measured": number, "met": target.met(number)}
        for target, number in measured
        if number is not None
    ]


def _result_data(result: Result) -> dict[str, Any]:
    return {
        "rule": result.case.name,
        "model": result.model,
        "tensors": len(result.shapes),
        "elements": elements(result.shapes),
        "bytes": result.bytes,
        "note": result.case.note,
        "contenders": {name: _contender_data(result, name) for name in result.timings},
        "dropped": dict(result.dropped),
    }


def _contender_data(result: Result, name: str) -> dict[str, Any]:
    timing = result.timings[name]
    low, first, third = timing.spread
    return {
        "seconds": {
            "median": timing.median,
            "min": low,
            "quartiles": [first, third],
            "samples": list(timing.samples),
            "steps_per_sample": timing.repeats,
        },
        "gigabytes_per_second": result.gigabytes_per_second(name),
        "of_copy": result.of_copy(name),
        "times_as_fast_as": {
            peer: result.ratio(name, peer) for peer in _peers(result) if peer != name
        },
        "extra_bytes": result.extra.get(name),
    }


def _peers(result: Result) -> list[str]:
    return [name for name in result.timings if name != COPY and name not in OURS]


# --- tables ---------------------------------------------------------------------------------


def show_machine(load: float | None, threads: int) -> None:
    """Print where the times are taken, and whether others are at work there."""
    cpu = machine_report()["devices"]["cpu"]
    print(f"{cpu['name']}, {cpu['cores']} cores, {_count(threads, 'thread')} a step, float32")
    if load is not None and load > 0.5:
        print(f"The load average is {load:.1f}: other work disturbs the times, torch's most.")
    print(flush=True)


def show(result: Result) -> None:
    """Print the table of one rule on one model."""
    title = (
        f"{result.case.name} on {result.model}: {_count(len(result.shapes), 'tensor')}, "
        f"{elements(result.shapes):,} elements, "
        f"{result.case.rule.bytes_per_element()} bytes an element"
    )
    notes = [result.case.note] if result.case.note else []
    notes += [f"without {name}: {reason}" for name, reason in result.dropped.items()]
    show_table(title, _head(result), [_row(result, name) for name in result.timings], notes)


def show_targets(results: Sequence[Result]) -> None:
    """Print which targets were met, of those that were measured."""
    rows = []
    for target in TARGETS:
        measured = target.measured(results)
        if measured is not None:
            met = "met" if target.met(measured) else "missed"
            rows.append((target.text, target.show(measured), met))
    if rows:
        show_table("Targets", ("target", "measured", ""), rows, [])


def _head(result: Result) -> Row:
    peers = [f"x {peer}" for peer in _peers(result)]
    return ("", "time", "min", "quartiles", "GB/s", "of copy", *peers, "extra MiB")


def _row(result: Result, name: str) -> Row:
    timing = result.timings[name]
    low, first, third = timing.spread
    of_copy = result.of_copy(name)
    ratios = [result.ratio(name, peer) for peer in _peers(result)]
    extra = result.extra.get(name)
    return (
        name,
        seconds_text(timing.median),
        seconds_text(low),
        f"{seconds_text(first)} - {seconds_text(third)}",
        f"{result.gigabytes_per_second(name):.1f}",
        "" if of_copy is None else f"{of_copy:.0%}",
        *("" if r is None or name == COPY else f"{r:.2f}" for r in ratios),
        "" if extra is None else f"{extra / 2**20:.1f}",
    )


def seconds_text(seconds: float) -> str:
    """Return a time with three digits.

    >>> seconds_text(0.0123), seconds_text(1.5), seconds_text(4.2e-5)
    ('12.3 ms', '1.50 s', '42.0 us')
    """
    factor, unit = next(
        ((f, u) for f, u in ((1.0, "s"), (1e3, "ms")) if seconds * f >= 1), (1e6, "us")
    )
    value = seconds * factor
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def show_table(title: str, head: Row, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print a table, in colour where somebody is looking, and its notes below it."""
    if not _show_rich(title, head, rows):
        print(title)
        for line in _aligned((head, *rows)):
            print(f"  {line}")
    for note in notes:
        print(f"  {note}")
    print(flush=True)


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Yield rows as text, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        yield "  ".join((first.ljust(widths[0]), *cells)).rstrip()


def _show_rich(title: str, head: Row, rows: Sequence[Row]) -> bool:
    """Show it in colour where somebody is looking; False where rich is missing."""
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    console = Console()
    if not console.is_terminal:
        return False
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row, style="green" if row[0] in OURS else "")
    console.print(table)
    return True
