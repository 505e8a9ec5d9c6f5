"""`gpuopt cache`: where compiled kernels are kept on disk, how large they are, and their end."""

from __future__ import annotations

import sys
from typing import Any

from ..kernels import disk_cache


def cache(action: str) -> int:
    """Print where compiled kernels are kept, or delete them; return the exit code.

    Args:
        action: ``"clear"``, or empty.

    Returns:
        0 on success, 1 if the cache cannot be used or emptied, 2 for an unknown action.
    """
    if action not in ("", "clear"):
        print(f"gpuopt cache: got {action!r}, expected clear or nothing", file=sys.stderr)
        return 2
    if action == "clear":
        count, size = disk_cache.clear()
        left = disk_cache.size()[0]
        kept = f"; {left} could not be deleted" if left else ""
        print(f"deleted {count} entries, {size_text(size)}, from {disk_cache.root()}{kept}")
        return 1 if left else 0
    found = report()
    print(f"{found['folder']}: {found['problem'] or _content(found)}")
    return 1 if found["problem"] else 0


def report() -> dict[str, Any]:
    """Return where compiled kernels are kept, how large they are, and why not, if not."""
    count, size = disk_cache.size()
    folder, problem = str(disk_cache.root()), disk_cache.problem()
    return {"folder": folder, "problem": problem, "entries": count, "bytes": size}


def row(found: dict[str, Any]) -> tuple[str, str, str]:
    """Return the report's row of `gpuopt doctor`."""
    about = found["problem"] or f"{_content(found)}; to delete them: gpuopt cache clear"
    return found["folder"], "no" if found["problem"] else "usable", about


def _content(found: dict[str, Any]) -> str:
    return f"{found['entries']} entries, {size_text(found['bytes'])}"


def size_text(count: int) -> str:
    """Return a number of bytes for people.

    >>> size_text(1_500), size_text(70 << 20)
    ('1.5 kB', '73.4 MB')
    """
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
