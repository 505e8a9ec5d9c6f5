"""The facts and the code of compiled cases, kept on disk: each entry is a zip file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

from ..kernels import disk_cache
from .backends import fingerprint
from .cases import Case
from .code import Argument, Code
from .facts import Facts

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile)


def entry_of(case: Case) -> Path:
    """Return the file of a case."""
    text = json.dumps([fingerprint(case.backend), case.to_json()])
    return disk_cache.folder("inspect") / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.zip"


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
    """Write an entry atomically.

    Raises:
        OSError: it cannot be written.
    """
    rest = asdict(code)
    parts = {f"kernel.{kind}": rest.pop(kind) for kind in ("ptx", "cubin", "sass")}
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        archive.writestr("code.json", json.dumps(rest))
        archive.writestr("facts.json", json.dumps(facts.to_json()))
    if not disk_cache.write(entry, content.getvalue()):
        raise OSError(f"{entry} cannot be written: {disk_cache.problem()}")


def _opened(entry: Path) -> zipfile.ZipFile:
    """Open an entry that has been checked.

    Raises:
        ValueError: it is missing, damaged or foreign.
    """
    content = disk_cache.read(entry)
    if content is None:
        raise ValueError(f"{entry}: missing, damaged, or writable by others")
    return zipfile.ZipFile(BytesIO(content))
