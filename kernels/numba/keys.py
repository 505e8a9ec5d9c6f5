"""A key that changes with everything that the machine code of a walk depends on."""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import llvmlite
import numba

from ..table import Update
from .object_files import processor
from .walk import functions_of, walk_source

_NOWHERE_ELSE = secrets.token_hex()

_FOLDER = Path(__file__).parent
_FILES = (
    *("blocks.py", "compile.py", "keys.py", "maths.py", "object_files.py", "sums.py", "walk.py"),
    *("../roundings.py", "../storage.py", "../table.py", "../trace/retarget.py"),
)
"""What the compiler is told besides the rule."""


@cache
def key_of(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return a key for the walk of an update.

    It depends on the update with all functions that it calls, on the dtypes, on the sources of this
    backend, on the versions of Python, Numba and llvmlite, and on the processor.
    """
    called = [(n, *_function(function)) for n, function in functions_of(update).items()]
    parts = (_environment(), walk_source(update, dtypes), *called)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


@cache
def _environment() -> tuple[str, ...]:
    config = numba.config
    options = (config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE)
    versions = (sys.version, numba.__version__, llvmlite.__version__)
    files = [hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest() for name in _FILES]
    return (*versions, repr(options), *processor(), *files)


def _function(function: FunctionType) -> Iterator[Any]:
    """Yield what determines a function: its code, and the globals that it refers to."""
    yield from _code(function.__code__)
    yield function.__defaults__
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType):
            yield name
            yield from _function(value)
        elif not isinstance(value, ModuleType):
            yield name, _constant(value)


def _constant(value: Any) -> Any:
    """Return what determines a global; for all but plain values, something of this process alone.

    Of an array or an enumeration, ``repr`` does not say all.
    """
    if value is None or type(value) in (bool, int, float, str):
        return repr(value)
    if type(value) is tuple:
        return [_constant(item) for item in value]
    return _NOWHERE_ELSE


def _code(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names, code.co_varnames, code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(constant)
