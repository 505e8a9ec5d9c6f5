"""Compiled code on disk: kernels for the CPU, cubins, and the facts of `gpuopt inspect`.

An entry's name is a hash of everything that it depends on, so entries are never invalidated; the
oldest are deleted when the cache grows. Since cached machine code is executed, an entry is used
only if it and its folder belong to this user or root, nobody else can write to either, and its
digest matches. Without a usable folder, nothing is cached and nothing fails: each process compiles
kernels.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from ..messages.warn import warn
from ..system import files

VARIABLE = "GPUOPT_CACHE_DIR"

DEBUG = "GPUOPT_DEBUG"
"""If set to anything but 0, warn once if the cache cannot be used."""

KINDS = ("cpu", "cuda", "inspect")
"""The folders of the cache; nothing else in it is read or deleted."""

LIMIT = 256 << 20
"""Maximum bytes of all entries."""

_STEP = LIMIT >> 4
"""After writing this many bytes, a process checks whether the cache is too large."""

_DIGEST = 32
"""Bytes of a digest."""

_ENTRY = re.compile(r"[0-9a-f]{40}\.(o|cubin|zip)")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_POSIX = sys.platform != "win32"

_since_prune = _STEP
_warned = False


def root() -> Path:
    """Return the folder of the cache.

    It is ``$GPUOPT_CACHE_DIR``, or ``gpuopt`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. A relative
    path, as for a user without a home, is not usable: it would depend on the working folder.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(os.path.expanduser(given))
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "gpuopt")


def folder(kind: str) -> Path:
    """Return the folder of one of `KINDS`."""
    return root() / kind


def problem() -> str | None:
    """Return why nothing can be cached on disk, or None; creates nothing."""
    path = root()
    if not path.is_absolute():
        return f"the path of the cache is not absolute: {path} (see {VARIABLE})"
    for each in (path, *(path / kind for kind in KINDS)):
        try:
            status = each.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return str(error)
        why = _untrusted(each, status)
        if why or not os.access(each, os.W_OK | os.X_OK):
            return why or f"{each} is read-only"
    above = next((each for each in (path, *path.parents) if each.exists()), path)
    return None if os.access(above, os.W_OK | os.X_OK) else f"{above} is read-only"


def _untrusted(path: Path, status: os.stat_result) -> str | None:
    """Return why code in a folder is not trusted, or None."""
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is no folder"
    if _POSIX and status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if _POSIX and status.st_mode & _OTHERS_MAY_WRITE:
        return f"others may write to {path} (chmod go-w makes it usable)"
    return None


def read(entry: Path) -> bytes | None:
    """Return the content of an entry; None if it is missing, damaged, or others can write to it."""
    try:
        with _opened(entry.parent) as within:
            whole = files.read_own(entry, within)
            if whole is None or _digest(entry, content := whole[_DIGEST:]) != whole[:_DIGEST]:
                return None
    except OSError:
        return None
    with suppress(OSError):
        os.utime(entry)  # so that pruning deletes unused entries first
    return content


def kept(entry: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of an entry; if it is missing, make it, and cache it if possible."""
    content = read(entry)
    if content is None:
        content = make()
        write(entry, content)
    return content


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a folder if it is trusted; None on Windows, where folders have no handles.

    Reading through the handle uses the folder that was checked, even if the path changes.

    Raises:
        OSError: it is missing or not trusted.
    """
    if not path.is_absolute():
        raise OSError(problem())
    if not _POSIX:
        yield None
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        why = _untrusted(path, os.fstat(handle))
        if why:
            raise OSError(why)
        yield handle
    finally:
        os.close(handle)


def write(entry: Path, content: bytes) -> bool:
    """Write an entry atomically; return whether it could be written."""
    global _since_prune
    whole = _digest(entry, content) + content
    try:
        _make(root())
        _make(entry.parent)
        with _opened(root()), _opened(entry.parent):
            files.replace(str(entry), partial(files.write_all, content=whole), mode=0o600)
    except OSError as error:
        _explain(f"compiled kernels are not kept on disk: {error}")
        return False
    _since_prune += len(whole)
    if _since_prune > _STEP:
        prune()
        _since_prune = 0
    return True


def _make(path: Path) -> None:
    """Create a folder that only its user can enter."""
    if path.is_absolute() and not path.exists():
        files.make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(0o700)


def prune(limit: int = LIMIT) -> tuple[int, int]:
    """Delete the oldest entries beyond a number of bytes; keep other files.

    Returns:
        The number of deleted entries, and their bytes.
    """
    now, found = time.time(), list(_entries())
    for kind in KINDS:
        files.remove_leftovers(str(folder(kind)))
    found.sort(key=lambda entry: min(entry[1].st_mtime, now))
    excess = sum(status.st_size for _, status in found) - limit
    count = deleted = 0
    for path, status in found:
        if excess <= 0:
            break
        try:
            path.unlink()
        except FileNotFoundError:  # deleted by another process
            excess -= status.st_size
        except OSError:
            continue
        else:
            excess -= status.st_size
            count, deleted = count + 1, deleted + status.st_size
    return count, deleted


def size() -> tuple[int, int]:
    """Return the number of entries and their bytes."""
    sizes = [status.st_size for _, status in _entries()]
    return len(sizes), sum(sizes)


def clear() -> tuple[int, int]:
    """Delete all entries; return how many were deleted, and their bytes."""
    return prune(limit=-1)


def _entries() -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the entries, with their sizes and times of use."""
    for kind in KINDS:
        path = folder(kind)
        if not path.is_absolute() or path.is_symlink():
            continue
        with suppress(OSError), os.scandir(path) as found:
            for one in found:
                if _ENTRY.fullmatch(one.name):
                    with suppress(OSError):
                        yield path / one.name, one.stat(follow_symlinks=False)


def _explain(text: str) -> None:
    """Warn once, if the user asked for it."""
    global _warned
    if not _warned and os.environ.get(DEBUG, "0") not in ("", "0"):
        _warned = True
        warn(text)


def _digest(entry: Path, content: bytes) -> bytes:
    return hashlib.blake2b(entry.name.encode() + content, digest_size=_DIGEST).digest()
