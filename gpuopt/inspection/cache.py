"""A cache of compiled cases on disk.

An entry is a zip file named by a hash of everything that it depends on, so entries are never
invalidated. Before the zip file stands a digest of its name and content: an entry that is damaged,
was made for another case, is a link, or can be written by others is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from ..system import files
from .backends import fingerprint
from .cases import Case
from .code import Argument, Code
from .facts import Facts

_KEPT = 4_000
"""Maximum number of entries; beyond, the oldest are deleted."""

_DIGEST = 32
"""Bytes of a digest."""

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile)


def folder() -> Path:
    """Return the cache folder: ``$XDG_CACHE_HOME/gpuopt/inspect``, or ``~/.cache/...``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "gpuopt" / "inspect"


def entry_of(case: Case) -> Path:
    """Return the file of a case."""
    text = json.dumps([fingerprint(case.backend), case.to_json()])
    return folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.zip"


def read_facts(entry: Path) -> Facts | None:
    """Return the facts of an entry, or None if it is missing, damaged or foreign."""
    with suppress(*_UNREADABLE), _opened(entry) as archive:
        return Facts.from_json(json.loads(archive.read("facts.json")))
    return None


def read_code(entry: Path) -> Code:
    """Return the code of an entry.

    Raises:
        ValueError: it is missing, damaged or foreign.
    """
    with _opened(entry) as archive:
        rest: dict[str, Any] = json.loads(archive.read("code.json"))
        rest["arguments"] = tuple(Argument(**argument) for argument in rest["arguments"])
        return Code(
            ptx=archive.read("kernel.ptx").decode(),
            cubin=archive.read("kernel.cubin"),
            sass=archive.read("kernel.sass").decode(),
            **rest,
        )


def write_entry(entry: Path, facts: Facts, code: Code) -> None:
    """Write an entry atomically."""
    rest = asdict(code)
    parts = {f"kernel.{kind}": rest.pop(kind) for kind in ("ptx", "cubin", "sass")}
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        archive.writestr("code.json", json.dumps(rest))
        archive.writestr("facts.json", json.dumps(facts.to_json()))
    whole = _digest(entry, content.getvalue()) + content.getvalue()
    files.make_folder(entry.parent)
    files.replace(str(entry), partial(files.write_all, content=whole), mode=0o644)


def prune() -> None:
    """Delete the oldest entries beyond the maximum; other files stay."""
    with suppress(OSError):
        entries = sorted(folder().glob("*.zip"), key=lambda file: file.lstat().st_mtime)
        for entry in entries[:-_KEPT]:
            with suppress(OSError):
                entry.unlink()


def _opened(entry: Path) -> zipfile.ZipFile:
    """Open an entry that has been checked.

    Raises:
        ValueError: it is missing, damaged or foreign.
    """
    whole = files.read_own(entry)
    if whole is None or not _digest(entry, content := whole[_DIGEST:]) == whole[:_DIGEST]:
        raise ValueError(f"{entry}: missing, damaged, or writable by others")
    return zipfile.ZipFile(BytesIO(content))


def _digest(entry: Path, content: bytes) -> bytes:
    return hashlib.blake2b(entry.name.encode() + content, digest_size=_DIGEST).digest()
