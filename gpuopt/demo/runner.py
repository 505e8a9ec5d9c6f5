"""Run what a command was asked for, and bring the results where they belong."""

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
from gpuopt.kernels.threads import thread_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_WRITTEN, INTERRUPTED = 1, 130  # exit codes, beside CANNOT_RUN; 130 is the shells' for Ctrl-C


@dataclass(frozen=True)
class Job:
    """What to run and where the results go.

    Attributes:
        trials: what to run.
        settings: what the trials share.
        backend: the backend to force, or None.
        picture: the path of the picture.
        json: the path of the JSON file, or None.
        command: what was asked for, as the command line says it.
        device: where the training runs.
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
    """How a job is shown: while it runs, as tables and as a picture.

    Tables and picture are made from the results, and a line that says what these come from.
    """

    observer: Callable[[Progress], Observer]
    tables: Callable[[Sequence[Result], str], Iterable[Table | Text]]
    figure: Callable[[Sequence[Result], str], Figure]


def execute(job: Job, view: View) -> None:
    """Train, print the tables, write the files.

    Raises:
        typer.Exit: with the exit code, where it is not 0.
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
    """Load the digits; leave if they are missing, or fewer than a batch."""
    try:
        digits = data.load()
    except ModuleNotFoundError as error:
        leave(CANNOT_RUN, f"The digits come with scikit-learn: {INSTALL} ({error}).")
    if settings.batch_size > len(digits.train):
        refuse("--batch-size", settings.batch_size, f"at most {len(digits.train)}, all the images")
    return digits


def moved(digits: Digits, device: str) -> Digits:
    """Bring the digits to a device; leave if it is not there."""
    try:
        return on_device(digits, device)
    except NoDeviceError as error:
        leave(CANNOT_RUN, f"{error}.")


def check_backend(name: str | None, digits: Digits) -> None:
    """Leave if the backend, or what the environment says, cannot run where they are."""
    try:
        thread_count()
        with gpuopt.use_backend(name):
            gpuopt.explain(digits.train.images)
    except (gpuopt.BackendError, ValueError) as error:
        leave(CANNOT_RUN, f"{error}")


def train(job: Job, view: View, digits: Digits) -> tuple[list[Result], bool]:
    """Run the trials; return the results, and whether Ctrl-C came before the last.

    The network's products are too small to share: with one thread for them the training is
    faster, and its numbers do not depend on how many cores there are.
    """
    # scikit-learn brings it; it has no types
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with (
        threadpool_limits(1, "blas"),
        gpuopt.use_backend(job.backend),
        bars(messages()) as progress,
    ):
        return collect(run_all(job.trials, digits, job.settings, view.observer(progress)))


def collect(results: Iterable[Result]) -> tuple[list[Result], bool]:
    """Return the results that there are, and whether Ctrl-C came before the last."""
    finished: list[Result] = []
    try:
        for result in results:
            finished.append(result)
    except KeyboardInterrupt:
        return finished, True
    return finished, False


def origin_of(job: Job, digits: Digits) -> str:
    """Say in a line what the numbers come from."""
    settings = job.settings
    sizes = "-".join(map(str, settings.sizes(digits)))
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    return (
        f"{len(digits.train)} handwritten digits to train on, {len(digits.test)} to test on; "
        f"network {sizes}; {epochs}; seed {settings.seed}; `{job.command}`"
    )


def save_numbers(content: Mapping[str, Any], path: Path) -> None:
    """Write the JSON, and say where it is."""
    with leave_if_not_written():
        record.save(path, content)
    if path != STANDARD_OUTPUT:
        messages().print(f"Numbers: {path}")


def save_picture(draw: Callable[[], Figure], path: Path) -> None:
    """Draw the picture and say where it is, or what it needs."""
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
    """Turn what goes wrong with a file into a line and an exit code."""
    try:
        yield
    except OSError as error:
        leave(NOT_WRITTEN, f"Not written: {error}")


def leave(code: int, message: str) -> NoReturn:
    """Say why on standard error, and exit."""
    messages().print(message)
    raise typer.Exit(code)
