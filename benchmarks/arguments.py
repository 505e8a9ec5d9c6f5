"""What the commands check of their arguments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def writable(path: Path) -> bool:
    """Find out before the work, not after it."""
    try:
        path.touch()
    except OSError as error:
        print(f"cannot write {path}: {error.strerror}", file=sys.stderr)
        return False
    return True


def positive(text: str) -> int:
    """Return the number of things that an argument asks for."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number
