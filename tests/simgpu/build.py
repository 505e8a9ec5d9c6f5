"""C to a shared object, by gcc; what was built before is found on disk."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.gettempdir(), f"gpuopt-simgpu-{os.getuid() if os.name == 'posix' else ''}")
"""Where everything that is built stays."""

FLAGS = ("-shared", "-fPIC", "-w", "-fwrapv", "-fno-strict-aliasing", "-ffp-contract=off")


def problem():
    """Return why nothing can be built here, or None."""
    return None if shutil.which("gcc") else "there is no gcc"


def build(text, name, *flags):
    """Return the shared object of a C text, as a file called ``name`` in a folder of its own."""
    key = hashlib.sha256(repr((text, name, FLAGS, flags)).encode()).hexdigest()[:24]
    built = FOLDER / key / name
    if not built.exists():
        built.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent) as folder:
            source, partial = Path(folder, "text.c"), Path(folder, name)
            source.write_text(text, encoding="utf-8")
            command = ["gcc", *FLAGS, *flags, str(source), "-lm", "-o", str(partial)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            assert done.returncode == 0, "\n".join(errors)
            partial.replace(built)  # at once, since others may be building the same
    return built
