"""Files that are replaced atomically, and files that only their owner can write."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

_OLD = 24 * 3600.0
"""Seconds after which a partial file counts as left over, if files cannot be locked."""

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
_NO_FOLDER_SYNC = (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Do not follow links, and do not block on a pipe."""


def replace(target: str, write: Callable[[FileIO], None], mode: int | None = None) -> None:
    """Write a partial file next to ``target``, flush it to disk, and rename it to ``target``.

    If anything fails, or the process is killed, an old file is unchanged. The partial file is
    removed; after a kill, by the next call with the same target. A link is replaced, not followed.

    Args:
        target: the file to replace or create.
        write: writes the content; the file is unbuffered, so use `write_all`.
        mode: permissions, reduced by the umask; None for those of the old file, or of any new one.

    Raises:
        OSError: the file cannot be written.
    """
    folder, name = os.path.split(target)
    old = _status(target) if mode is None else None
    partial = _Partial(folder, name, 0o600 if old else 0o666 if mode is None else mode)
    try:
        with partial.create() as file:
            wanted = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            with suppress(OSError):  # then it is as readable as the result will be
                _set_mode(file, 0o600)
            write(file)
            _set_mode(file, _take_over(file, old) if old else wanted)
            os.fsync(file.fileno())
            if sys.platform != "win32":
                # Still locked, so that no other call removes it as a leftover.
                os.replace(partial.path, target)
        if sys.platform == "win32":
            os.replace(partial.path, target)
    except BaseException:
        partial.remove()
        raise
    _sync_folder(folder)


def write_all(file: FileIO, content: bytes | memoryview) -> None:
    """Write all content to an unbuffered file, whose `write` may be partial."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, writable only by their owner, whatever the umask."""
    for each in (*reversed(folder.parents), folder):
        with suppress(FileExistsError):
            if not each.exists():
                each.mkdir(0o755)


def read_own(file: Path, folder: int | None = None) -> bytes | None:
    """Return the content of a file that only this user or root can write; None if there is none.

    The file must be regular, not a link, belong to this user or root, and not be writable by its
    group or others.

    Args:
        file: the path.
        folder: the handle of its folder; None to look the folder up.

    Raises:
        OSError: it exists but cannot be read.
    """
    path, flags = file if folder is None else file.name, os.O_RDONLY | _NO_FOLLOW
    try:
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0), dir_fd=folder)
    except OSError:
        return None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        if sys.platform != "win32":
            if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
                return None
        with open(handle, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(handle)


class _Partial:
    """A locked file with an unpredictable name."""

    def __init__(self, folder: str, name: str, mode: int) -> None:
        """Take the target's folder and name, and the permissions of the file."""
        self._folder, self._mode = folder, mode
        self.path = ""
        self._file: FileIO | None = None
        digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
        self._prefix = f".gpuopt-{digest}-"  # as short for a name of 255 bytes

    def create(self) -> FileIO:
        """Remove leftovers of the same target, and create the file."""
        self._remove_leftovers()
        while True:
            name = f"{self._prefix}{secrets.token_hex(8)}.partial"
            self.path = os.path.join(self._folder, name)  # known before the file exists
            file = self._file = FileIO(self.path, "x", opener=self._open)
            if _lock(file.fileno()) and os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # another call removed it as a leftover before it was locked

    def remove(self) -> None:
        """Remove the file, if there is one."""
        if self._file is not None:
            self._file.close()
        with suppress(OSError):
            os.unlink(self.path)

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._mode)

    def _remove_leftovers(self) -> None:
        remove_leftovers(self._folder, self._prefix)


def remove_leftovers(folder: str, prefix: str = ".gpuopt-") -> None:
    """Remove the partial files of writers that were killed; of all targets, or of one."""
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(folder or os.curdir)
    for name in names:
        if name.startswith(prefix) and name.endswith(".partial"):
            with suppress(OSError):
                _remove_unused(os.path.join(folder, name))


def _remove_unused(path: str) -> None:
    """Remove a partial file unless its writer, who holds a lock, is alive."""
    handle = os.open(path, os.O_WRONLY | _NO_FOLLOW)
    try:
        status = os.fstat(handle)
        old = time.time() - status.st_mtime > _OLD
        unused = stat.S_ISREG(status.st_mode) and _lock(handle, old)
        if unused and sys.platform != "win32":  # still locked
            os.unlink(path)
    finally:
        os.close(handle)
    if unused and sys.platform == "win32":  # which cannot remove open files
        os.unlink(path)


def _lock(handle: int, without_locks: bool = True) -> bool:
    """Lock a file and return whether it was free; ``without_locks`` if locks are unsupported."""
    if sys.platform == "win32":
        return without_locks
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return without_locks
        raise
    return True


def _status(target: str) -> os.stat_result | None:
    try:
        return os.lstat(target)
    except FileNotFoundError:
        return None


def _take_over(file: FileIO, old: os.stat_result) -> int:
    """Give a file the owner and group of the old one, as far as possible; return its mode."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    if sys.platform == "win32":
        return mode
    new = os.fstat(file.fileno())
    if new.st_gid != old.st_gid:
        try:
            os.fchown(file.fileno(), -1, old.st_gid)
        except OSError:
            mode &= ~0o070  # the permissions of another group
    if new.st_uid != old.st_uid:
        with suppress(OSError):
            os.fchown(file.fileno(), old.st_uid, -1)
    return mode


def _set_mode(file: Any, mode: int) -> None:
    if sys.platform != "win32" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
        os.fchmod(file.fileno(), mode)


def _sync_folder(folder: str) -> None:
    """Flush a rename to disk, where that is possible."""
    if sys.platform == "win32":
        return
    try:
        handle = os.open(folder or os.curdir, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
