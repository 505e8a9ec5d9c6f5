"""The warning of a drop-in that is slower than torch's optimizer, because llvmlite is missing."""

from __future__ import annotations

from ..engine.dispatch import BACKENDS, forced, warn_once


def warn_without_llvmlite() -> None:
    """Warn once that NumPy updates tensors on the CPU, unless the user has chosen that."""
    problem = BACKENDS["llvm"].problem()
    if problem is None or forced() is not None:
        return
    warn_once(f"tensors on the CPU are updated through NumPy, several times slower: {problem}")
