"""Parsing and checking of command-line arguments."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from gpuopt.kernels.thread_count import thread_count

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def writable(files: Sequence[Path | None], plot: Path | None = None) -> bool:
    """Return whether files and plots can be written; if not, print why."""
    try:
        for path in filter(None, files):
            path.open("ab").close()
        if plot is not None:
            plot.mkdir(parents=True, exist_ok=True)
            importlib.import_module("matplotlib")
    except OSError as error:
        print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return False
    except ImportError:
        print("--plot needs matplotlib, which is not installed", file=sys.stderr)
        return False
    return True


def known_threads() -> int | None:
    """Return the number of threads; None, after printing why, if the environment is invalid."""
    try:
        return thread_count()
    except ValueError as error:  # GPUOPT_NUM_THREADS is invalid
        print(error, file=sys.stderr)
        return None


def part(text: str) -> float:
    """Return a fraction of at least 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"expected a number of at least 0, got {text!r}")
    return number


def sizes(text: str) -> list[int]:
    """Parse one size, or a range in which each size is 8 times the previous one.

    >>> sizes("16m"), sizes("1k..100k")
    ([16777216], [1024, 8192, 65536, 102400])
    """
    first, dots, last = text.partition("..")
    low = _size(first)
    high = _size(last) if dots else low
    if not 1 <= low <= high:
        raise ValueError(f"expected a size or range, 16m or 1k..1G, got {text!r}")
    found = [low]
    while found[-1] < high:
        found.append(min(8 * found[-1], high))
    return found


def _size(text: str) -> int:
    digits = text.rstrip("kKmMgG")
    unit = text[len(digits) :].lower()
    if not digits.isdigit() or unit not in _UNITS:
        raise ValueError(f"expected a size or range, 16m or 1k..1G, got {text!r}")
    return int(digits) * _UNITS[unit]


def size_text(size: int) -> str:
    """Return a size in the notation of the command line.

    >>> size_text(1 << 24), size_text(1000)
    ('16m', '1000')
    """
    for unit, factor in reversed(_UNITS.items()):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    raise AssertionError
