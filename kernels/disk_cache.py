"""Compiled code on disk: kernels for the CPU, cubins, and the facts of `gpuopt inspect`.

Every entry is named by a hash of all that it depends on, so entries are never invalidated; the
oldest go when the cache grows. Machine code is run as it is found: the folder belongs to its user
alone, and an entry is taken only if nobody else can have written it and its digest is right.

Without a usable folder nothing is kept, and nothing fails: kernels are compiled in each process.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..messages.warn import warn
from ..system import files

VARIABLE = "GPUOPT_CACHE_DIR"

DEBUG = "GPUOPT_DEBUG"
"""If set to anything but 0, warn once if the cache cannot be used."""

LIMIT = 256 << 20
"""Maximum bytes of all entries."""

_STEP = LIMIT >> 4
"""After so many bytes are written, a process looks whether the cache has grown too large."""

_DIGEST = 32
"""Bytes of a digest."""

_since_prune = _STEP
_warned = False


def root() -> Path:
    """Return the folder of the cache.

    It is ``$GPUOPT_CACHE_DIR``, or ``gpuopt`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``.
    Without a home, it is a folder among the temporary files.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "gpuopt"
    try:
        return Path.home() / ".cache" / "gpuopt"
    except RuntimeError:
        user = os.geteuid() if sys.platform != "win32" else ""
        return Path(tempfile.gettempdir()) / f"gpuopt-{user}"


def folder(kind: str) -> Path:
    """Return the folder of one kind of entries."""
    return root() / kind


def problem() -> str | None:
    """Return why nothing can be kept on disk, or None; creates nothing."""
    path = root()
    try:
        status = path.stat()
    except FileNotFoundError:
        return _problem_above(path)
    except OSError as error:
        return str(error)
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is no folder"
    if sys.platform != "win32":
        if status.st_uid not in (os.geteuid(), 0):
            return f"{path} belongs to another user"
        if status.st_mode & 0o022:
            return f"others may write to {path} (chmod go-w makes it usable)"
    return None if os.access(path, os.W_OK | os.X_OK) else f"{path} is read-only"


def _problem_above(path: Path) -> str | None:
    above = next((each for each in path.parents if each.exists()), path.parent)
    return None if os.access(above, os.W_OK | os.X_OK) else f"{above} is read-only"


def read(entry: Path) -> bytes | None:
    """Return the content of an entry; None if it is missing, damaged, or others can write to it."""
    try:
        if not _trusted():
            return None
        whole = files.read_own(entry)
    except OSError:
        return None
    if whole is None or _digest(entry, content := whole[_DIGEST:]) != whole[:_DIGEST]:
        return None
    with suppress(OSError):
        os.utime(entry)  # the oldest entries are those that nobody used
    return content


def write(entry: Path, content: bytes) -> bool:
    """Write an entry whole or not at all; return whether it could be written."""
    return write_file(entry, _digest(entry, content) + content)


def write_file(file: Path, content: bytes) -> bool:
    """Write a file without a digest of its own; return whether it could be written."""
    global _since_prune
    try:
        _make_private(root())
        _make_private(file.parent)
        if not _trusted():
            raise OSError(problem())
        files.replace(str(file), partial(files.write_all, content=content), mode=0o600)
    except OSError as error:
        _explain(f"compiled kernels are not kept on disk: {error}")
        return False
    _since_prune += len(content)
    if _since_prune > _STEP:
        prune()
        _since_prune = 0
    return True


def prune(limit: int = LIMIT) -> None:
    """Delete the oldest entries beyond a number of bytes; other files stay."""
    entries = sorted(_entries(), key=lambda found: found[1].st_mtime)
    excess = sum(status.st_size for _, status in entries) - limit
    for path, status in entries:
        if excess <= 0:
            return
        with suppress(OSError):
            path.unlink()
            excess -= status.st_size


def size() -> tuple[int, int]:
    """Return the number of entries and their bytes."""
    sizes = [status.st_size for _, status in _entries()]
    return len(sizes), sum(sizes)


def clear() -> tuple[int, int]:
    """Delete all entries; return how many there were, and their bytes."""
    found = size()
    prune(limit=-1)
    return found


SUFFIXES = (".o", ".cubin", ".zip")
"""Of entries; no other file is deleted."""


def _entries() -> Iterator[tuple[Path, os.stat_result]]:
    with suppress(OSError):
        for path in root().glob("*/*"):
            with suppress(OSError):
                status = path.lstat()
                if path.suffix in SUFFIXES and not stat.S_ISDIR(status.st_mode):
                    yield path, status


def _trusted() -> bool:
    """Whether the folder is the user's own, and nobody else can write to it."""
    if sys.platform == "win32":
        return True
    status = os.stat(root())
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


def _make_private(path: Path) -> None:
    """Create a folder that only its user can enter."""
    if not path.exists():
        files.make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(0o700)


def _explain(text: str) -> None:
    """Warn once, if the user asked for it."""
    global _warned
    if not _warned and os.environ.get(DEBUG, "0") not in ("", "0"):
        _warned = True
        warn(text)


def _digest(entry: Path, content: bytes) -> bytes:
    return hashlib.blake2b(entry.name.encode() + content, digest_size=_DIGEST).digest()
