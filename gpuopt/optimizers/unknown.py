"""Errors for unknown arguments of optimizers, with the known ones and a suggestion."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from ..engine.tail import OPTIONS
from ..messages.suggest import did_you_mean

_TORCHS = ("capturable", "differentiable", "foreach", "fused")


def refuse_unknown(optimizer: type, given: Iterable[str], further: Iterable[str] = ()) -> None:
    """Check that an optimizer knows all arguments that it was given.

    Args:
        optimizer: its class; the arguments of its constructor are known.
        given: the names of the other arguments.
        further: known names besides those and the options of a tail.

    Raises:
        TypeError: a name is unknown.
    """
    known = dict.fromkeys((*_named(optimizer), *further, *OPTIONS))
    for name in given:
        if name not in known:
            hint = _elsewhere(optimizer, name) or did_you_mean(name, known)
            raise TypeError(
                f"unknown option {name!r} of {optimizer.__name__}: "
                f"expected one of {', '.join(known)}{hint}"
            )


def _named(optimizer: type) -> list[str]:
    parameters = inspect.signature(optimizer).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.kind not in variadic and p.name != "params"]


def _elsewhere(optimizer: type, name: str) -> str:
    """Return a hint that names the optimizer that has an argument, or "" if there is none."""
    if optimizer.__module__.startswith("gpuopt.torch"):
        return ""
    if name in _TORCHS:
        return "; the optimizers of gpuopt.torch take torch.optim's arguments"
    return ""
