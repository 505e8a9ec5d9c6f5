"""Run a job and write its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import gpuopt
from gpuopt.demo import data, record
from gpuopt.demo.comparison import Observer, Result, Settings, Trial, run_all
from gpuopt.demo.console import bars, messages, output, print_tables
from gpuopt.demo.data import Digits
from gpuopt.demo.device import NoDeviceError, on_device
from gpuopt.demo.extra import CANNOT_RUN, INSTALL
from gpuopt.demo.options import STANDARD_OUTPUT, refuse
from gpuopt.kernels.thread_count import thread_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_WRITTEN, INTERRUPTED = 1, 130  # exit codes besides CANNOT_RUN; shells use 130 for Ctrl-C


@dataclass(frozen=True)
class Job:
    """The trials to run and the files to write.

    Attributes:
        trials: the trials.
        settings: the settings of all trials.
        backend: the backend to force, or None.
        picture: the path of the plot.
        json: the path of the JSON file, or None.
        command: the command line, for captions.
        device: the device of the training.
    """

    trials: Sequence[Trial]
    settings: Settings
    backend: str | None
    picture: Path
    json: Path | None
    command: str
    device: str = "cpu"


@dataclass(frozen=True)
class View:
    """The output of a job: progress, tables and plot.

    Tables and plot are made from the results and a line that describes their origin.
    """

    observer: Callable[[Progress], Observer]
    tables: Callable[[Sequence[Result], str], Iterable[Table | Text]]
    figure: Callable[[Sequence[Result], str], Figure]


def execute(job: Job, view: View) -> None:
    """Train, print the tables, write the files.

    Raises:
        typer.Exit: with a nonzero exit code.
    """
    try:
        digits = load(job.settings)
        digits = moved(digits, job.device)
        check_backend(job.backend, digits)
        origin = origin_of(job, digits)
        results, interrupted = train(job, view, digits)
        if results:
            console = messages() if job.json == STANDARD_OUTPUT else output()
            print_tables(console, view.tables(results, origin))
        if interrupted:
            done = f"{len(results)} of {len(job.trials)}"
            leave(INTERRUPTED, f"Interrupted with {done} finished; no file was written.")
        if job.json:
            save_numbers(record.record(results, job.settings, digits), job.json)
        save_picture(lambda: view.figure(results, origin), job.picture)
    except KeyboardInterrupt:
        leave(INTERRUPTED, "Interrupted.")


def load(settings: Settings) -> Digits:
    """Load the digits; exit if they are missing, or fewer than a batch."""
    try:
        digits = data.load()
    except ModuleNotFoundError as error:
        leave(CANNOT_RUN, f"The digits come with scikit-learn: {INSTALL} ({error}).")
    if settings.batch_size > len(digits.train):
        refuse("--batch-size", settings.batch_size, f"at most {len(digits.train)}, all the images")
    return digits


def moved(digits: Digits, device: str) -> Digits:
    """Copy the digits to a device; exit if it is not available."""
    try:
        return on_device(digits, device)
    except NoDeviceError as error:
        leave(CANNOT_RUN, f"{error}.")


def check_backend(name: str | None, digits: Digits) -> None:
    """Exit if the backend cannot run on the digits' device, or the environment is invalid."""
    try:
        thread_count()
        with gpuopt.use_backend(name):
            gpuopt.explain(digits.train.images)
    except (gpuopt.BackendError, ValueError) as error:
        leave(CANNOT_RUN, f"{error}")


def train(job: Job, view: View, digits: Digits) -> tuple[list[Result], bool]:
    """Run the trials; return the results, and whether Ctrl-C interrupted them.

    BLAS gets one thread: the matrix products are too small to parallelize, and the results must not
    depend on the number of cores.
    """
    # a dependency of scikit-learn; it has no types
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with (
        threadpool_limits(1, "blas"),
        gpuopt.use_backend(job.backend),
        bars(messages()) as progress,
    ):
        return collect(run_all(job.trials, digits, job.settings, view.observer(progress)))


def collect(results: Iterable[Result]) -> tuple[list[Result], bool]:
    """Return the finished results, and whether Ctrl-C interrupted them."""
    finished: list[Result] = []
    try:
        for result in results:
            finished.append(result)
    except KeyboardInterrupt:
        return finished, True
    return finished, False


def origin_of(job: Job, digits: Digits) -> str:
    """Return a line that describes data, network and command."""
    settings = job.settings
    sizes = "-".join(map(str, settings.sizes(digits)))
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    return (
        f"{len(digits.train)} handwritten digits to train on, {len(digits.test)} to test on; "
        f"network {sizes}; {epochs}; seed {settings.seed}; `{job.command}`"
    )


def save_numbers(content: Mapping[str, Any], path: Path) -> None:
    """Write the JSON file and print its path."""
    with leave_if_not_written():
        record.save(path, content)
    if path != STANDARD_OUTPUT:
        messages().print(f"Numbers: {path}")


def save_picture(draw: Callable[[], Figure], path: Path) -> None:
    """Draw the plot and print its path, or what is missing."""
    try:
        figure = draw()
    except ModuleNotFoundError as error:
        messages().print(f"No picture: that needs matplotlib, {INSTALL} ({error}).")
        return
    with leave_if_not_written():
        figure.savefig(path)
    messages().print(f"Picture: {path}")


@contextmanager
def leave_if_not_written() -> Iterator[None]:
    """Convert an OSError to a message and an exit code."""
    try:
        yield
    except OSError as error:
        leave(NOT_WRITTEN, f"Not written: {error}")


def leave(code: int, message: str) -> NoReturn:
    """Print a message to standard error, and exit."""
    messages().print(message)
    raise typer.Exit(code)
