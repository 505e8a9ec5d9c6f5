"""What the demo needs beyond gpuopt and typer, and what is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INSTALL = "pip install 'gpuopt[demo]'"
CANNOT_RUN = 2
"""The exit code of a command that lacks something."""


@contextmanager
def imports_of(command: str) -> Iterator[None]:
    """Around imports: leave, and say what to install, if a library is missing.

    Raises:
        typer.Exit: with the exit code.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        typer.echo(f"gpuopt {command} needs {error.name}: {INSTALL}", err=True)
        raise typer.Exit(CANNOT_RUN) from None
