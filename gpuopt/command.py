"""The commands that run without typer: ``gpuopt doctor`` and ``gpuopt --version``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

VERSION = ("--version", "-V")


def version_line() -> str:
    """Return the output of ``gpuopt --version``."""
    from gpuopt import __version__

    return f"gpuopt {__version__}"


def plain(arguments: Sequence[str]) -> int | None:
    """Run a command that needs no typer and return its exit code; None for other commands."""
    if len(arguments) == 1 and arguments[0] in VERSION:
        print(version_line())
        return 0
    if arguments[:1] == ["doctor"]:
        return doctor(arguments[1:])
    return None


def doctor(arguments: Sequence[str]) -> int:
    """Run ``gpuopt doctor`` and return its exit code.

    Raises:
        SystemExit: an option is invalid, or ``--help`` was given.
    """
    parser = argparse.ArgumentParser(
        prog="gpuopt doctor",
        description="Show what this machine can run: versions, devices, backends, and why.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Write the report as JSON; - for stdout."
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAMES",
        help="Comma-separated backends; exit code 1 if one cannot run.",
    )
    given = parser.parse_args(arguments)
    from gpuopt.doctor import doctor as examine

    return examine(given.require, given.json)
