"""The cache key of a walk, which covers everything that its machine code depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite.binding import get_process_triple, llvm_version_info

from ..table import Update
from ..trace.operations import trace
from .object_files import processor

_FOLDER = Path(__file__).parent


@cache
def key_of(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return a key for the walk of an update.

    It covers the operations and the structure of the update, the dtypes, the sources of this
    backend, the versions of llvmlite and LLVM, the platform, and the processor.
    """
    parts = (_environment(), dtypes, *_shape(update))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


@cache
def _environment() -> tuple[Any, ...]:
    files = sources() if has_sources() else []
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    versions = llvmlite.__version__, llvm_version_info
    return (*versions, get_process_triple(), *processor(), *digests)


def sources() -> list[Path]:
    """Return the source files that determine the code of an update."""
    return sorted((*_FOLDER.glob("*.py"), *(_FOLDER.parent / name for name in _OTHERS)))


@cache
def has_sources() -> bool:
    """Return whether these files exist; otherwise a key would not identify the code.

    They are missing in a frozen application, or if the package is imported from an archive.
    """
    return all(path.is_file() for path in sources())


_OTHERS = ("roundings.py", "storage.py", "table.py", "trace/operations.py", "trace/retarget.py")


def _shape(update: Update) -> Iterator[Any]:
    """Yield all properties of the update that the walk uses."""
    yield update.read, update.written, update.blocked
    yield update.random_streams, update.encode_streams
    yield update.coefficient_names, update.encode_coefficients
    yield len(update.watched_names), update.wants_sums, update.wants_counts
    yield update.n_plain
    for function in (update.function, update.encode_function):
        if function is not None:
            count = function.__code__.co_argcount
            traced = trace(function, tuple(f"a{i}" for i in range(count)))
            yield count, traced.operations, traced.results
