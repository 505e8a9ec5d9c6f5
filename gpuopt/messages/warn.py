"""Warnings that point to the user's line, not to a line inside gpuopt."""

from __future__ import annotations

import sys
import warnings

_INSIDE = frozenset({"gpuopt", "torch", "contextlib"})
"""Packages between the user's line and the warning: torch wraps steps and loads."""


def warn(text: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the first line outside gpuopt and torch."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame.f_globals) in _INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
