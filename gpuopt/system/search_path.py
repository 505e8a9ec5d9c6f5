"""Import nothing from the working folder, which may contain a json.py, say.

``python -m`` puts that folder first in ``sys.path``. Only Python 3.11 has an option against it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = str(Path(__file__).parents[2])


def leave_out_working_folder() -> None:
    """Remove the folder for ``python -m gpuopt``, unless gpuopt lies there itself."""
    if _called_as_module() and _added() and not os.path.samefile(sys.path[0] or os.curdir, HERE):
        del sys.path[0]


def module_command(module: str) -> tuple[str, ...]:
    """Return a command that runs a module like ``python -m``, with this process's search path.

    The working folder is only searched if the path names it.
    """
    path = [folder for folder in sys.path if folder not in ("", os.curdir)]
    if HERE not in path:
        path.insert(0, HERE)
    code = f"import sys; sys.path[:] = {path!r}; import runpy; "
    code += f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return sys.executable, "-c", code


def _called_as_module() -> bool:
    """Return whether Python is about to run a module of gpuopt for ``-m``."""
    if sys.argv[:1] != ["-m"] or len(sys.orig_argv) < len(sys.argv):
        return False
    name = sys.orig_argv[-len(sys.argv)]  # argv has only the arguments after it
    if name.startswith("-"):
        name = name.partition("m")[2]  # -mgpuopt
    return name.partition(".")[0] == __name__.partition(".")[0]


def _added() -> bool:
    """Return whether Python has put the folder in front."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False) or not sys.path:
        return False
    try:
        return sys.path[0] in ("", os.getcwd())
    except FileNotFoundError:  # the folder was deleted
        return False


leave_out_working_folder()
