"""The CPU's floating-point mode: rounding, and whether denormal numbers are flushed to zero.

Each thread has a mode, which new threads inherit. A step runs in the default mode, whatever the
caller has set (``torch.set_flush_denormal(True)``, say), so its bits depend neither on that nor on
the number of threads. On Linux and macOS, the C library sets the mode; on other systems, including
Windows, a step runs in the caller's mode.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_Environment = ctypes.c_longdouble * 16
"""As large and as aligned as any C library's ``fenv_t``."""


def _library() -> tuple[Any, Any, Any] | None:
    """Return C's ``fegetenv``, ``fesetenv`` and ``FE_DFL_ENV``, or None where they are unknown.

    On x86-64 and arm64, they include the flushing of denormal numbers.
    """
    try:
        library = ctypes.PyDLL(None)  # from Python itself, which links libm
        get, set_ = library.fegetenv, library.fesetenv
        if sys.platform == "darwin":
            default = ctypes.addressof(_Environment.in_dll(library, "_FE_DFL_ENV"))
        else:
            default = ctypes.c_size_t(-1).value
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    get.argtypes = set_.argtypes = [ctypes.c_void_p]
    return get, set_, ctypes.c_void_p(default)


_known = _library() if sys.platform.startswith(("linux", "darwin")) else None


def set_default_mode() -> None:
    """Set the default mode of this thread."""
    if _known is not None:
        _, set_, default = _known
        set_(default)


def in_default_mode(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function to run in the default mode, and restore the caller's mode."""
    if _known is None:
        return function
    get, set_, default = _known

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        callers = _Environment()
        get(callers)
        try:
            set_(default)
            return function(*args, **kwargs)
        finally:
            set_(callers)

    return run
