"""``gpuopt run``: run a script like Python does, after `install`."""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType

from .installation import install


def run(target: str, arguments: Sequence[str], module: bool = False) -> None:
    """Run a script or a module as ``__main__``; its exceptions, even ``SystemExit``, propagate.

    Args:
        target: the path of a script, or the name of a module.
        arguments: the rest of ``sys.argv``.
        module: whether ``target`` is the name of a module, as after ``python -m``.

    Raises:
        OSError: the script cannot be read.
    """
    if module:
        sys.argv[:] = [target, *arguments]
        _search_first(os.getcwd())
        install()
        runpy.run_module(target, run_name="__main__", alter_sys=True)
        return
    path = os.path.abspath(target)
    with io.open_code(path) as file:
        source = file.read()
    sys.argv[:] = [target, *arguments]
    _search_first(os.path.dirname(os.path.realpath(target)))
    install()
    # It stays after the script ends, for its threads and atexit handlers.
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __cached__=None)
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


def _search_first(folder: str) -> None:
    """Put a folder first in ``sys.path``, as Python does unless told not to."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, folder)
