"""What is shown while trials run: bars on a terminal, and what is noticed anywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gpuopt.demo.comparison import Observer, Trial
from gpuopt.demo.tables import LESS_WANTED
from gpuopt.demo.training import Epoch
from gpuopt.demo.watch import Finding
from gpuopt.messages.tables import fit

PIPE_WIDTH = 120  # columns where there is no terminal to ask


def output() -> Console:
    """Standard output, for results."""
    return Console(highlight=False, markup=False, width=width_of(sys.stdout))


def messages() -> Console:
    """Standard error, for everything else."""
    width = width_of(sys.stderr)
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True, width=width)


def width_of(stream: TextIO) -> int | None:
    """Enough for any table where there is no terminal; None: as wide as the terminal is."""
    return None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH


def print_tables(console: Console, tables: Iterable[Table | Text]) -> None:
    """Print tables and the text between them; where there is no room, without some columns."""
    for table in tables:
        left_out = fit(console, table, LESS_WANTED) if isinstance(table, Table) else ""
        console.print(table, soft_wrap=False)
        if left_out:
            console.print(f"{left_out} --json has all of it.", style="dim", soft_wrap=False)


def bars(console: Console) -> Progress:
    """A display of bars that draws nothing where there is no terminal to draw on."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
    )


class EachTrial(Observer):
    """A bar for every trial, and a line for everything that is noticed."""

    def __init__(self, progress: Progress, epochs: int) -> None:
        """Use these bars, for trials of so many epochs."""
        self._progress = progress
        self._epochs = epochs

    def started(self, trial: Trial) -> None:
        """Begin a bar."""
        label = f"{trial.method.label:<14}"
        self._task = self._progress.add_task(label, total=self._epochs, state="")

    def epoch_ended(self, trial: Trial, epoch: Epoch) -> None:
        """Move the bar on."""
        state = f"train loss {epoch.train_loss:<8.3g} test acc. {epoch.test_accuracy:6.1%}"
        self._progress.update(self._task, completed=epoch.number, state=state)

    def noticed(self, trial: Trial, finding: Finding) -> None:
        """Print a line, above the bars."""
        kind = " in ".join(filter(None, (finding.kind, finding.where)))
        before = f"{trial.method.label}, epoch {finding.epoch}: "
        line = Text.assemble(before, (kind, "yellow"), f": {finding.message}")
        self._progress.console.print(line)


class AllTrials(Observer):
    """One bar for all the trials together."""

    def __init__(self, progress: Progress, trials: int) -> None:
        """Use this display, for so many trials."""
        self._progress = progress
        self._task = progress.add_task(f"{trials} trials", total=trials, state="")

    def started(self, trial: Trial) -> None:
        """Say which trial it is."""
        self._progress.update(self._task, state=f"{trial.method.label}, lr {trial.learning_rate:g}")

    def ended(self, trial: Trial) -> None:
        """Move the bar on."""
        self._progress.advance(self._task)
