"""What a drop-in says where it is slower than what it replaces, for want of Numba."""

from __future__ import annotations

from ..engine.dispatch import BACKENDS, forced, warn_once

_SWITCHED_OFF = "NUMBA_DISABLE_JIT"


def warn_without_numba() -> None:
    """Warn once that tensors on the CPU go through NumPy, unless somebody wants it so."""
    problem = BACKENDS["numba"].problem()
    if problem is None or forced() is not None or _SWITCHED_OFF in problem:
        return
    warn_once(f"tensors on the CPU are updated through NumPy, several times slower: {problem}")
