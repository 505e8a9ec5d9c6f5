"""Optional libraries of the demo, and the message if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INSTALL = "pip install 'gpuopt[demo]'"
CANNOT_RUN = 2
"""The exit code if a library or device is missing."""


@contextmanager
def imports_of(command: str) -> Iterator[None]:
    """Wrap imports: if a library is missing, print how to install it, and exit.

    Raises:
        typer.Exit: a library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        typer.echo(f"gpuopt {command} needs {error.name}: {INSTALL}", err=True)
        raise typer.Exit(CANNOT_RUN) from None
