"""Regressions between two runs, in speed and in accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .lines import Line, Place, Run
from .report import Row, seconds_text

THRESHOLD = 0.1
"""The relative change for the worse in one of gpuopt's figures that counts as a failure."""


@dataclass(frozen=True)
class Change:
    """One contender in two runs.

    Attributes:
        place: what was measured.
        contender: its name.
        ours: whether it can fail; peers are listed to reveal changes of the machine.
        before: the figure in the first run.
        after: the figure in the second run; None if it is missing there.
        unit: ``"s"``, ``"s of the host"``, ``"of copy"`` (higher is better), or ``"ulp"``.
    """

    place: Place
    contender: str
    ours: bool
    before: float
    after: float | None
    unit: str

    @property
    def worse(self) -> float:
        """The relative change for the worse; negative for an improvement."""
        if self.after is None:
            return float("inf")
        better = (self.after, self.before) if self.unit == "of copy" else (self.before, self.after)
        return better[1] / better[0] - 1 if better[0] else float(better[1] > 0) * float("inf")

    def failed(self, threshold: float) -> bool:
        """Return whether it is gpuopt's and missing, or worse by more than the threshold."""
        return self.ours and self.worse > threshold

    def row(self, threshold: float) -> Row:
        """Return the change as a row of `HEAD`."""
        place = self.place
        where = f"{place.suite} {place.rule} {place.dtype} {place.model} {place.device}"
        verdict = "FAILED" if self.failed(threshold) else ""
        figures = ("missing", "") if self.after is None else (self._text(self.after), _part(self))
        return (f"{where}: {self.contender}", self._text(self.before), *figures, verdict)

    def _text(self, figure: float) -> str:
        if self.unit in ("s", HOST):
            return seconds_text(figure) + self.unit[1:]
        return f"{figure:.0%}" if self.unit == "of copy" else f"{figure:.3g} ulp"


HOST = "s of the host"
HEAD: Row = ("", "before", "after", "worse by", "")


def _part(change: Change) -> str:
    return f"{change.worse:+.0%}" if change.worse < 1e6 else "from 0"


def changes(before: Run, after: Run, by_copy: bool = False) -> Iterator[Change]:
    """Yield the change of every figure of the first run.

    Args:
        before: the first run.
        after: the second.
        by_copy: compare speeds relative to the copy loop where they exist, instead of times.
    """
    now = {(line.place, line.contender): line for g in after.groups for line in g.lines}
    for group in before.groups:
        for line in group.lines:
            other = now.get((line.place, line.contender))
            after = {} if other is None else _figures(other, by_copy)
            for unit, figure in _figures(line, by_copy).items():
                found = after.get(unit)
                yield Change(line.place, line.contender, line.ours, figure, found, unit)


def _figures(line: Line, by_copy: bool) -> dict[str, float]:
    """Return the figures of a line by their units."""
    if line.ulps is not None:
        return {"ulp": line.ulps["max"]}
    if by_copy and line.of_copy is not None:
        return {"of copy": line.of_copy}
    figures = {"s": line.median, HOST: line.host_seconds}
    return {unit: figure for unit, figure in figures.items() if figure is not None}
