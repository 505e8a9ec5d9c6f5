"""C and C++ to a shared object, by gcc and g++; what was made before is found on disk."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.gettempdir(), f"gpuopt-tests-{os.getuid() if os.name == 'posix' else ''}")
"""Where everything that is built stays."""

FLAGS = ("-shared", "-fPIC", "-fno-strict-aliasing", "-ffp-contract=off")
_SUFFIX = {"gcc": ".c", "g++": ".cpp"}


def problem(compiler="gcc"):
    """Return why nothing can be built here, or None."""
    return None if shutil.which(compiler) else f"there is no {compiler}"


def build(text, name, *flags, compiler="gcc"):
    """Return the shared object of a text, as a file called ``name`` in a folder of its own."""
    command = [compiler, *FLAGS, *flags]

    def make(partial):
        source = partial.with_name("text" + _SUFFIX[compiler])
        source.write_text(text, encoding="utf-8")
        whole = [*command, str(source), "-lm", "-o", str(partial)]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        assert done.returncode == 0, "\n".join(errors)

    return kept((text, name, command), name, make)


def kept(key, name, make):
    """Return a file called ``name`` in a folder of its own, which ``make(file)`` wrote once.

    Args:
        key: what the file depends on.
        name: of the file.
        make: writes it.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    file = FOLDER / digest / name
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    assert os.name != "posix" or FOLDER.stat().st_uid == os.getuid(), f"{FOLDER} is somebody else's"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            partial = Path(folder, name)
            make(partial)
            partial.replace(file)  # at once, since others may be making the same
    return file
