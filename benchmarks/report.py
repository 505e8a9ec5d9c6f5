"""Tables of the results, on the terminal and in Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpuopt.doctor import report as machine_report
from gpuopt.messages import tables
from gpuopt.messages.tables import Table

from .gpu_state import CLOCKS
from .lines import Group, Line, Run

Row = tuple[str, ...]

GPU_HEAD: Row = ("", "before", "after")


def load_average() -> float | None:
    """Return the load average of the last minute, or None if the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def show_machine(load: float | None, threads: int) -> None:
    """Print the machine, and a warning if it is busy."""
    cpu = machine_report()["devices"]["cpu"]
    print(f"{cpu['name']}, {cpu['cores']} cores, {_count(threads, 'thread')} a step")
    if load is not None and load > 0.5:
        print(f"The load average is {load:.1f}: other work distorts the times, torch's most.")
    print(flush=True)


def show(group: Group) -> None:
    """Print a group."""
    show_table(title(group), *cells(group), notes(group))


def title(group: Group) -> str:
    """Return the title of a group."""
    place = group.place
    text = f"{place.suite}: {place.rule}, {place.dtype}, {place.model}, {place.device}"
    if not group.lines:
        return text
    line = group.lines[0]
    text += f": {_count(line.tensors, 'tensor')}, {line.elements:,} elements"
    if line.bytes:
        text += f", {line.bytes / line.elements:g} bytes an element"
    return text


def notes(group: Group) -> list[str]:
    """Return the notes below a group."""
    return [*group.notes, *(f"without {name}: {why}" for name, why in group.left_out.items())]


def cells(group: Group) -> tuple[Row, list[Row]]:
    """Return the header and the rows of a group, without empty columns."""
    peers = list(dict.fromkeys(peer for line in group.lines for peer in line.times_as_fast_as))
    columns: dict[str, Callable[[Line], str]] = {
        **_COLUMNS,
        **{f"x {peer}": lambda line, peer=peer: _ratio(line, peer) for peer in peers},
    }
    filled = {name: [show(line) for line in group.lines] for name, show in columns.items()}
    kept = {name: column for name, column in filled.items() if name == "" or any(column)}
    if on_device(group):
        kept = {"device" if name == "time" else name: column for name, column in kept.items()}
    return tuple(kept), list(zip(*kept.values()))


def on_device(group: Group) -> bool:
    """Return whether the times are a device's, beside the host's."""
    return any(line.host_seconds is not None for line in group.lines)


def _ratio(line: Line, peer: str) -> str:
    ratio = line.times_as_fast_as.get(peer)
    return "" if ratio is None or line.contender == "copy" else f"{ratio:.2f}"


def _time(name: str) -> Callable[[Line], str]:
    return lambda line: "" if line.seconds is None else seconds_text(line.seconds[name])


def _quartiles(line: Line) -> str:
    return " - ".join(map(seconds_text, line.seconds["quartiles"])) if line.seconds else ""


def _ulps(name: str) -> Callable[[Line], str]:
    return lambda line: "" if line.ulps is None else f"{line.ulps[name]:.3g}"


def _if_known(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)


def _rate(gigabytes: float) -> str:
    return f"{gigabytes:.1f}" if gigabytes >= 1 else f"{gigabytes:.2g}"


_COLUMNS: dict[str, Callable[[Line], str]] = {
    "": lambda line: line.contender,
    "time": _time("median"),
    "host": lambda line: _if_known(line.host_seconds, seconds_text),
    "ns/element": lambda line: _if_known(line.seconds_an_element, lambda x: f"{x * 1e9:.3g}"),
    "min": _time("min"),
    "quartiles": _quartiles,
    "warm-up": lambda line: _if_known(line.warm_up_seconds, seconds_text),
    "GB/s": lambda line: _if_known(line.gigabytes_per_second, _rate),
    "of copy": lambda line: _if_known(line.of_copy, "{:.0%}".format),
    "extra MiB": lambda line: _if_known(line.extra_bytes, lambda x: f"{x / 2**20:.1f}"),
    "launches": lambda line: _if_known(line.launches, str),
    "ulps: median": _ulps("median"),
    "99%": _ulps("p99"),
    "most": _ulps("max"),
}


_LESS_IMPORTANT = ("warm-up", "quartiles", "min", "extra MiB", "launches", "GB/s")
"""The columns that are dropped first, in this order, on a narrow terminal."""


def seconds_text(seconds: float) -> str:
    """Return a time with three significant digits.

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


# --- Markdown -----------------------------------------------------------------------------------


def described(run: Run) -> str:
    """Return the machine, its load, the date and the command of a run."""
    facts = run.facts
    machine = facts["machine"]
    where = _gpu_text(facts["gpu"]) if "gpu" in facts else machine["devices"]["cpu"]["name"]
    names = ("numpy", "llvmlite", "torch", "triton", "cupy")
    found = {name: machine["packages"].get(name) for name in names}
    packages = [f"{name} {version}" for name, version in found.items() if version]
    load = _if_known(facts["load_average"], "load average {:.1f} at the start, ".format)
    return (
        f"{where}, {_count(facts['threads'], 'thread')}, {load}{facts['date'][:10]}; "
        f"Python {machine['python']}, {', '.join(packages)}; `{facts['command']}`"
    )


def _gpu_text(gpu: Mapping[str, Any]) -> str:
    """Return the name, driver, clocks and number of warnings of a GPU."""
    after = gpu["after"]
    if not after:
        return "a GPU of unknown state"
    clocks = [f"{name.partition(',')[0]} {after[name]:g} MHz" for name in CLOCKS if after[name]]
    warned = [_count(len(gpu["warnings"]), "warning")] if gpu["warnings"] else []
    return ", ".join((str(after["name"]), f"driver {after['driver']}", *clocks, *warned))


def gpu_rows(gpu: Mapping[str, Any]) -> list[Row]:
    """Return what is known of a GPU before and after a run, as rows of `GPU_HEAD`."""
    before, after = gpu["before"], gpu["after"]
    names = dict.fromkeys((*before, *after))
    rows = [(name, *(_value(state.get(name)) for state in (before, after))) for name in names]
    return [row for row in rows if any(row[1:])]


def _value(value: str | float | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.10g}"


def markdown(run: Run) -> str:
    """Return a run as a Markdown report."""
    parts = ["# gpuopt's benchmarks", described(run)]
    if gpu := run.facts.get("gpu"):
        parts.append(_markdown_table(GPU_HEAD, gpu_rows(gpu)))
        parts += [_markdown_list(gpu["warnings"])] if gpu["warnings"] else []
    for group in run.groups:
        parts.append(f"## {title(group)}")
        head, rows = cells(group)
        if rows:
            parts.append(_markdown_table(head, rows))
        parts += [_markdown_list(notes(group))] if notes(group) else []
    return "\n\n".join(parts) + "\n"


def _markdown_table(head: Row, rows: Sequence[Row]) -> str:
    return "\n".join(map(_markdown_row, (head, ("---",) * len(head), *rows)))


def _markdown_list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _markdown_row(row: Row) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"


# --- terminal -----------------------------------------------------------------------------------


def show_table(title: str, head: Row, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print a table, and its notes below it."""
    tables.show(Table(title, head, rows, right=True, drops=_LESS_IMPORTANT))
    for note in notes:
        print(f"  {note}")
    print(flush=True)
