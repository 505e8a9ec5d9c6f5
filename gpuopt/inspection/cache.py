"""A cache of compiled cases on disk.

An entry is a zip file named by a hash of everything that it depends on, so entries are never
invalidated. An unreadable entry is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .backends import fingerprint
from .cases import Case
from .code import Argument, Code
from .facts import Facts

_KEPT = 4_000
"""Maximum number of entries; beyond, the oldest are deleted."""

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
    """Return the facts of an entry, or None if it is missing or unreadable."""
    with suppress(*_UNREADABLE), zipfile.ZipFile(entry) as archive:
        return Facts.from_json(json.loads(archive.read("facts.json")))
    return None


def read_code(entry: Path) -> Code:
    """Return the code of an entry."""
    with zipfile.ZipFile(entry) as archive:
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
    entry.parent.mkdir(parents=True, exist_ok=True)
    partial = entry.with_suffix(f".{os.getpid()}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("code.json", json.dumps(rest))
        archive.writestr("facts.json", json.dumps(facts.to_json()))
    partial.replace(entry)


def prune() -> None:
    """Delete the oldest entries beyond the maximum."""
    with suppress(OSError):
        entries = sorted(folder().iterdir(), key=lambda file: file.stat().st_mtime)
        for entry in entries[:-_KEPT]:
            entry.unlink(missing_ok=True)
