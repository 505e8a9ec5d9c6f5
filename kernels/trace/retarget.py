"""Retarget a NumPy rule to another library's functions.

A retargeted rule is a copy of the function in which the global ``np`` is another object: Triton's
or the tracer's.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any


def retarget(
    function: FunctionType,
    library: Any,
    wrap: Callable[[FunctionType], Any] = lambda function: function,
    literal: Callable[[float], Any] = lambda value: value,
    extra_globals: dict[str, Any] | None = None,
) -> Any:
    """Return a copy of ``function``, and of its callees, in which ``np`` is ``library``.

    Args:
        function: a rule, a stage or a composed update; it may call other such functions.
        library: the object that ``np`` refers to in the copy.
        wrap: applied to each copy, innermost first (``triton.jit``).
        literal: applied to each float literal (for compilers that would promote float32
            arithmetic to float64).
        extra_globals: further globals that the compiler needs.
    """
    names = {**function.__globals__, "np": library, **(extra_globals or {})}
    for name in function.__code__.co_names:
        callee = names.get(name)
        if isinstance(callee, FunctionType):
            names[name] = retarget(callee, library, wrap, literal, extra_globals)
    constants = tuple(
        literal(value) if isinstance(value, float) else value
        for value in function.__code__.co_consts
    )
    code = function.__code__.replace(co_consts=constants)
    copy = FunctionType(code, names, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return wrap(copy)


def function_from(source: str, name: str, names: dict[str, Any]) -> FunctionType:
    """Return the function that a source text defines, so that `inspect.getsource` works.

    Args:
        source: the text.
        name: the name of the function.
        names: its globals, to which it is added.
    """
    filename = f"<gpuopt {name} {abs(hash(source)):x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), names)
    function = names[name]
    assert isinstance(function, FunctionType)
    return function
