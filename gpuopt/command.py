"""The commands that run without typer: ``gpuopt doctor``, ``verify``, ``run`` and ``--version``."""

from __future__ import annotations

import argparse
import os
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
    if arguments[:1] == ["verify"]:
        return verify(arguments[1:])
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


def verify(arguments: Sequence[str]) -> int:
    """Run ``gpuopt verify`` and return its exit code.

    Raises:
        SystemExit: an option is invalid, or ``--help`` was given.
    """
    parser = argparse.ArgumentParser(
        prog="gpuopt verify",
        description="Compare every backend that is usable on this machine with NumPy, bit for bit: "
        "every rule, dtype and option, and on a GPU streams, graphs and what else only a GPU has. "
        "Takes less than a minute. A check that crashes or hangs is reported, and the others go "
        "on. Exit code 0 if all bits are the same, 1 if not, 2 for bad options.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="WORDS",
        help="Run only the checks with all of these words in their names: 'llvm bfloat16'.",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAMES",
        help="Comma-separated backends; exit code 1 if one of them was not checked.",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Write all results as JSON; - for stdout."
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="Write a report that can be attached to an issue. Without this option it is written "
        "to gpuopt-verify.md, but only if something is wrong.",
    )
    given = parser.parse_args(arguments)
    from gpuopt.verify.command import verify as check_machine

    return check_machine(given.only, given.require, given.json, given.report)


def run(arguments: Sequence[str]) -> None:
    """Run ``gpuopt run``: a script in which torch.optim's classes make drop-ins.

    Raises:
        SystemExit: an option is invalid, ``--help`` was given, or the script exits; other
            exceptions of the script propagate, too.
    """
    parser = argparse.ArgumentParser(
        prog="gpuopt run",
        usage="%(prog)s [-h] [-m] script ...",
        description="Run a script as Python runs it, after gpuopt.torch.install(): torch.optim's "
        "classes make gpuopt's drop-ins. torchrun takes it as a module: torchrun -m gpuopt run "
        "train.py. A process that the script starts anew (torch.multiprocessing.spawn, Lightning's "
        "ddp) runs without it; write install() into such a script.",
        allow_abbrev=False,
    )
    parser.add_argument("-m", dest="module", action="store_true", help="script is a module's name")
    parser.add_argument("script", help="a path, or with -m the name of a module")
    own = "the script's own options"
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help=own)
    given = parser.parse_args(arguments)
    if not (given.module or os.path.isfile(given.script)):
        parser.error(f"script: expected a file, got {given.script!r}")
    from gpuopt.torch.script import run as run_script

    run_script(given.script, given.arguments, given.module)
