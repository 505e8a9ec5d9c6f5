"""Validation of command-line options; errors name the option and the accepted values."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path
from typing import NoReturn

import typer

from gpuopt.demo.device import DEVICES
from gpuopt.engine.dispatch import BACKENDS

STANDARD_OUTPUT = Path("-")
PICTURE_FORMATS = (".png", ".svg", ".pdf")
FILES = ("json", "output")


def refuse(option: str, given: object, accepted: str) -> NoReturn:
    """Exit with code 2 and a message that names the given and the accepted values."""
    raise typer.BadParameter(f"got {given}, expected {accepted}.", param_hint=f"'{option}'")


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated list, stripped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def names(option: str, text: str, known: Iterable[str]) -> list[str]:
    """Return the names in a comma-separated list; case is ignored, and hyphens are underscores."""
    accepted = list(known)
    read = [part.lower().replace("-", "_") for part in listed(text)]
    for given in read:
        if given not in accepted:
            refuse(option, repr(given), f"names out of {', '.join(accepted)}")
    return read


def backend(option: str, name: str | None) -> str | None:
    """Return None or the name of a known backend, which need not be able to run here."""
    if name is not None and name not in BACKENDS:
        refuse(option, repr(name), f"one of {', '.join(BACKENDS)}")
    return name


def device(option: str, name: str) -> str:
    """Return the name of a known device, which need not be present."""
    if name not in DEVICES:
        refuse(option, repr(name), f"one of {', '.join(DEVICES)}")
    return name


def whole(text: str) -> int:
    """Parse an integer; the messages of typer's own parser differ."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"got {text!r}, expected a whole number.") from None


def real(text: str) -> float:
    """Parse a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"got {text!r}, expected a number.") from None


def learning_rate(option: str, value: float) -> float:
    """Return a finite number above 0."""
    if not (isfinite(value) and value > 0):
        refuse(option, f"{value:g}", "a finite number above 0")
    return value


def decay(option: str, value: float) -> float:
    """Return a number in [0, 1)."""
    if not 0 <= value < 1:
        refuse(option, f"{value:g}", "a number from 0 up to, but not including, 1")
    return value


def at_least(option: str, value: int, least: int) -> int:
    """Return an integer of at least ``least``."""
    if value < least:
        refuse(option, value, f"a whole number from {least}")
    return value


def numbers(option: str, text: str, check: Callable[[str, float], float]) -> tuple[float, ...]:
    """Return the numbers in a comma-separated list, checked, sorted and without duplicates."""
    values = []
    for part in listed(text):
        try:
            values.append(check(option, float(part)))
        except ValueError:
            refuse(option, repr(part), "comma-separated numbers, such as 0.01,0.1")
    if not values:
        refuse(option, repr(text), "at least one number")
    return tuple(sorted(set(values)))


def picture(option: str, path: Path) -> Path:
    """Return a writable path with the suffix of a plot format."""
    if path.suffix.lower() not in PICTURE_FORMATS:
        refuse(option, repr(str(path)), f"a name that ends in {', '.join(PICTURE_FORMATS)}")
    return writable(option, path)


def numbers_file(option: str, path: Path | None) -> Path | None:
    """Return None, a hyphen for standard output, or a writable path."""
    return path if path in (None, STANDARD_OUTPUT) else writable(option, path)


def writable(option: str, path: Path) -> Path:
    """Return a writable path; this is checked here, before the training."""
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        refuse(option, repr(str(path)), f"a file that can be written ({error.strerror})")
    if not existed:
        path.unlink()
    return path


def command(context: typer.Context) -> str:
    """Return the command with the options that differ from their defaults, without output files."""
    words = ["gpuopt", str(context.info_name)]
    for option in context.command.params:
        given = context.params.get(str(option.name))
        if option.name not in FILES and given != option.get_default(context):
            value = f"{given:g}" if isinstance(given, float) else f"{given}"
            words += [option.opts[0]] if given is True else [option.opts[0], value]
    return shlex.join(words)
