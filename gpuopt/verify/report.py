"""What `gpuopt verify` says: a line for each check, a table, JSON, and a report for an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..messages.suggest import counted
from ..messages.tables import Table, text_of
from .compare import Difference
from .plan import Plan
from .runner import DIED, DIFFERS, ERROR, HUNG, NOT_RUN, SAME, Result

COLUMNS = {
    "same": (SAME,),
    "differ": (DIFFERS,),
    "failed": (ERROR, DIED, HUNG),
    "not run": (NOT_RUN,),
}
"""The columns of the table, and the outcomes that each counts."""

DETAILED = 40
"""Checks whose problems a report has in full: an issue takes 65,536 characters."""

SHOWN = 10
"""Checks whose problems are printed: where all fail, mostly for one reason."""

DIFFERENCES = 5
"""Arrays of a check of which the text has the first elements; JSON has all."""


@dataclass(frozen=True)
class Findings:
    """All that a run has found.

    Attributes:
        plan: what was to be checked.
        results: of the checks, in the order in which they ended.
        seconds: how long it took.
    """

    plan: Plan
    results: Sequence[Result]
    seconds: float

    @property
    def bad(self) -> list[Result]:
        """The results of checks that did not give NumPy's bits."""
        return [result for result in self.results if result.outcome != SAME]


def line_of(result: Result) -> str:
    """Return the line of a check."""
    word = result.outcome if result.outcome == SAME else result.outcome.upper()
    return f"{word:8} {result.seconds:5.1f} s  {result.check.name}"


def summary_of(found: Findings) -> str:
    """Return what was not seen, what is wrong, and a last line with the verdict."""
    parts = []
    if found.plan.unseen:
        parts.append("\n".join(["Not seen on this machine:", *_indented(found.plan.unseen)]))
    parts += [
        "\n".join([result.check.name, *_indented(problems_of(result))])
        for result in found.bad[:SHOWN]
    ]
    more = len(found.bad) - SHOWN
    parts += [f"and {counted(more, 'more check')}: see the report"] if more > 0 else []
    return "\n\n".join([*parts, verdict(found)])


def verdict(found: Findings) -> str:
    """Return the last line."""
    if not found.results:
        return "Nothing was compared: NumPy is the only backend that is usable here."
    count, took = counted(len(found.results), "check"), f"in {found.seconds:.0f} s"
    if not found.bad:
        return f"{count}: the same bits as NumPy in each, {took}."
    return f"{count}, of which {len(found.bad)} did not give the bits of NumPy, {took}."


def problems_of(result: Result) -> list[str]:
    """Return what is wrong, in lines."""
    lines = result.text.splitlines()
    for one in result.differences[:DIFFERENCES]:
        lines += _lines_of(one)
    more = len(result.differences) - DIFFERENCES
    return [*lines, f"and {counted(more, 'more array')}"] if more > 0 else lines


def data_of(found: Findings) -> dict[str, Any]:
    """Return the findings as JSON data."""
    return {
        "ok": not found.bad,
        "seconds": round(found.seconds, 3),
        "machine": found.plan.machine,
        "unseen": found.plan.unseen,
        "counts": dict(Counter(result.outcome for result in found.results)),
        "checks": [result.to_json() for result in found.results],
    }


def markdown_of(found: Findings) -> str:
    """Return the report that can be attached to an issue."""
    parts = [f"# gpuopt verify\n\n{verdict(found)}", *_machine(found.plan.machine)]
    if found.results:
        parts.append("## Checks\n\n" + _block([text_of(table_of(found.results))]))
    if found.plan.unseen:
        parts.append("## Not seen\n\n" + "\n".join(f"- {one}" for one in found.plan.unseen))
    parts += [_detail(result) for result in found.bad[:DETAILED]]
    rest = [f"- {one.outcome}: {one.check.name}" for one in found.bad[DETAILED:]]
    return "\n\n".join([*parts, *(["\n".join(rest)] if rest else [])]) + "\n"


def _lines_of(difference: Difference) -> Iterator[str]:
    if not difference["elements"]:
        yield difference["what"]
        return
    yield (
        f"{difference['what']}: {difference['differ']} of "
        f"{counted(difference['elements'], 'element')} of {difference['dtype']} differ"
    )
    for one in difference["first"]:
        yield f"  at {one['at']}: {one['found']}, not {one['expected']}"


def table_of(results: Sequence[Result]) -> Table:
    """Return a table with the outcomes of each backend's checks."""
    rows = []
    for target in dict.fromkeys(result.check.target for result in results):
        own = [result.outcome for result in results if result.check.target == target]
        counts = (sum(outcome in which for outcome in own) for which in COLUMNS.values())
        rows.append((target, str(len(own)), *map(str, counts)))
    return Table("", ("", "checks", *COLUMNS), rows, right=True)


def _machine(machine: dict[str, Any]) -> Iterator[str]:
    if not machine:
        return
    packages = [f"{name} {version}" for name, version in machine["packages"].items() if version]
    first = [f"gpuopt {machine['gpuopt']}, Python {machine['python']}, {machine['platform']}"]
    devices = [f"cpu: {machine['devices']['cpu']['name']}"]
    cuda = machine["devices"]["cuda"]
    devices += [f"cuda:{i}: {', '.join(gpu.values())}" for i, gpu in enumerate(cuda["devices"])]
    devices += [f"cuda: {cuda['problem']}"] if cuda["problem"] else []
    variables = [f"{name}={value}" for name, value in machine["environment"].items()]
    yield "## Machine\n\n" + _block([*first, ", ".join(packages), *devices, *variables])


def _detail(result: Result) -> str:
    return f"## {result.outcome}: {result.check.name}\n\n{_block(problems_of(result))}"


def _block(lines: Sequence[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
