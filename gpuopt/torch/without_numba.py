"""The warning of a drop-in that is slower than torch's optimizer, because Numba is missing."""

from __future__ import annotations

from ..engine.dispatch import BACKENDS, forced, warn_once

_SWITCHED_OFF = "NUMBA_DISABLE_JIT"


def warn_without_numba() -> None:
    """Warn once that NumPy updates tensors on the CPU, unless the user has chosen that."""
    problem = BACKENDS["numba"].problem()
    if problem is None or forced() is not None or _SWITCHED_OFF in problem:
        return
    warn_once(f"tensors on the CPU are updated through NumPy, several times slower: {problem}")
