"""What the command line does without typer: ``gpuopt doctor`` and ``gpuopt --version``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

VERSION = ("--version", "-V")


def version_line() -> str:
    """Return what ``gpuopt --version`` prints: of the gpuopt that runs, installed or not."""
    from gpuopt import __version__

    return f"gpuopt {__version__}"


def plain(arguments: Sequence[str]) -> int | None:
    """Do what the arguments ask for, and return the exit code; None if that needs typer."""
    if len(arguments) == 1 and arguments[0] in VERSION:
        print(version_line())
        return 0
    if arguments[:1] == ["doctor"]:
        return doctor(arguments[1:])
    return None


def doctor(arguments: Sequence[str]) -> int:
    """Read the options of ``gpuopt doctor``, and examine this machine; return the exit code.

    Raises:
        SystemExit: an option is wrong, or help was asked for.
    """
    parser = argparse.ArgumentParser(
        prog="gpuopt doctor",
        description="Say what this machine can run: versions, devices, backends and their reasons.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="A file for the report; - prints it as JSON."
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAMES",
        help="Backends, with commas between them, that must be usable.",
    )
    given = parser.parse_args(arguments)
    from gpuopt.doctor import doctor as examine

    return examine(given.require, given.json)
