"""Output while trials run: progress bars on a terminal, and warnings."""

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
from gpuopt.demo.tables import LESS_IMPORTANT
from gpuopt.demo.training import Epoch
from gpuopt.demo.watch import Finding
from gpuopt.messages.tables import fit

PIPE_WIDTH = 120  # columns without a terminal


def output() -> Console:
    """Return the console for results: standard output."""
    return Console(highlight=False, markup=False, width=width_of(sys.stdout))


def messages() -> Console:
    """Return the console for everything else: standard error."""
    width = width_of(sys.stderr)
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True, width=width)


def width_of(stream: TextIO) -> int | None:
    """Return `PIPE_WIDTH` without a terminal; None for the terminal's width."""
    return None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH


def print_tables(console: Console, tables: Iterable[Table | Text]) -> None:
    """Print tables and texts; on a narrow terminal, some columns are dropped."""
    for table in tables:
        left_out = fit(console, table, LESS_IMPORTANT) if isinstance(table, Table) else ""
        console.print(table, soft_wrap=False)
        if left_out:
            console.print(f"{left_out} --json has all of it.", style="dim", soft_wrap=False)


def bars(console: Console) -> Progress:
    """Return progress bars, which are disabled without a terminal."""
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
    """Shows a bar per trial, and a line per warning."""

    def __init__(self, progress: Progress, epochs: int) -> None:
        """Take the progress display and the epochs per trial."""
        self._progress = progress
        self._epochs = epochs

    def started(self, trial: Trial) -> None:
        """Add a bar."""
        label = f"{trial.method.label:<14}"
        self._task = self._progress.add_task(label, total=self._epochs, state="")

    def epoch_ended(self, trial: Trial, epoch: Epoch) -> None:
        """Advance the bar."""
        state = f"train loss {epoch.train_loss:<8.3g} test acc. {epoch.test_accuracy:6.1%}"
        self._progress.update(self._task, completed=epoch.number, state=state)

    def noticed(self, trial: Trial, finding: Finding) -> None:
        """Print a line above the bars."""
        kind = " in ".join(filter(None, (finding.kind, finding.where)))
        before = f"{trial.method.label}, epoch {finding.epoch}: "
        line = Text.assemble(before, (kind, "yellow"), f": {finding.message}")
        self._progress.console.print(line)


class AllTrials(Observer):
    """Shows one bar for all trials."""

    def __init__(self, progress: Progress, trials: int) -> None:
        """Take the progress display and the number of trials."""
        self._progress = progress
        self._task = progress.add_task(f"{trials} trials", total=trials, state="")

    def started(self, trial: Trial) -> None:
        """Show the current trial."""
        self._progress.update(self._task, state=f"{trial.method.label}, lr {trial.learning_rate:g}")

    def ended(self, trial: Trial) -> None:
        """Advance the bar."""
        self._progress.advance(self._task)
