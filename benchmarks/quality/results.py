"""The results of `which`: losses by learning rate, the best ones, and the useful ranges."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from gpuopt.demo.comparison import TARGET_ACCURACY

from .families import MEMBERS, ORDER, family_of

TOLERANCE = 0.1
"""The tolerated difference from the transformer's best loss: a 10.5% larger perplexity."""

Losses = Mapping[float, float | None]
"""Losses by learning rate; None if the training diverged."""


@dataclass(frozen=True)
class Results:
    """The content of the file.

    Attributes:
        settings: the settings of all training runs.
        paths: a path for each family.
        optimizers: the measurements of each optimizer.
    """

    settings: Mapping[str, int]
    paths: Sequence[Mapping[str, Any]]
    optimizers: Sequence[Mapping[str, Any]]

    def write(self, file: Path) -> None:
        """Write the file, a line for each path and optimizer."""
        paths, optimizers = (
            ",\n".join(map(json.dumps, lines)) for lines in (self.paths, self.optimizers)
        )
        file.write_text(
            f'{{"settings": {json.dumps(dict(self.settings))},\n'
            f'"paths": [\n{paths}\n],\n"optimizers": [\n{optimizers}\n]}}\n',
            encoding="utf-8",
        )

    @property
    def origin(self) -> str:
        """How it was measured."""
        settings = self.settings
        return (
            f"Digits: {settings['epochs']} epochs, mean of {settings['seeds']} seeds; characters: "
            f"a transformer, {settings['steps']} steps, one seed; `python -m "
            "benchmarks.quality.which`"
        )

    def families(self) -> dict[str, list[str]]:
        """Return the names of the measured optimizers in each family that has some."""
        names = {
            family.name: [
                line["name"]
                for line in self.optimizers
                if family_of(MEMBERS[line["name"]].definition) is family
            ]
            for family in ORDER
        }
        return {family: members for family, members in names.items() if members}

    def losses(self, name: str, task: str) -> Losses:
        """Return the losses of an optimizer on a task; of the digits the means over the seeds."""
        found = self._line(name)[task]
        return {
            float(rate): _mean(one["losses"]) if task == "digits" else one
            for rate, one in found.items()
        }

    def best(self, name: str, task: str) -> tuple[float, float] | None:
        """Return the rate with the lowest loss, and the loss; None if all diverged."""
        finite = [(r, loss) for r, loss in self.losses(name, task).items() if loss is not None]
        return min(finite, key=lambda one: one[1], default=None)

    def useful(self, name: str, task: str) -> list[float]:
        """Return the contiguous useful rates around the best, possibly none.

        A rate is useful if 95% of the test digits are recognized, or if the loss is at most
        `TOLERANCE` above the best.
        """
        best = self.best(name, task)
        if best is None:
            return []
        if task == "digits":
            accuracies = {r: _mean(one["accuracies"]) for r, one in self._line(name)[task].items()}
            good = {float(r) for r, a in accuracies.items() if a and a >= TARGET_ACCURACY}
        else:
            losses = self.losses(name, task).items()
            good = {r for r, loss in losses if loss is not None and loss <= best[1] + TOLERANCE}
        return list(_around(best[0], sorted(self.losses(name, task)), good.__contains__))

    def rates(self, task: str) -> list[float]:
        """Return all learning rates that were tried."""
        return sorted({r for line in self.optimizers for r in self.losses(line["name"], task)})

    def lowest(self, task: str) -> float:
        """Return the lowest of all losses."""
        found = (self.best(line["name"], task) for line in self.optimizers)
        return min((one[1] for one in found if one), default=inf)

    def _line(self, name: str) -> Mapping[str, Any]:
        return next(line for line in self.optimizers if line["name"] == name)


def _around(best: float, rates: Sequence[float], good: Callable[[float], bool]) -> Iterator[float]:
    """Yield the contiguous good rates around the best, in order."""
    at = rates.index(best)
    low = high = at
    while low > 0 and good(rates[low - 1]):
        low -= 1
    while high + 1 < len(rates) and good(rates[high + 1]):
        high += 1
    yield from (rate for rate in rates[low : high + 1] if good(rate))


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean; None if one is missing."""
    known = [number for number in numbers if number is not None]
    return float(f"{fmean(known):.4g}") if len(known) == len(numbers) else None


def read(file: Path) -> Results:
    """Return the results in a file."""
    return Results(**json.loads(file.read_text(encoding="utf-8")))
