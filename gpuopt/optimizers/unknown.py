"""Arguments of optimizers that do not exist: what the optimizer takes, and what may be meant."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from ..engine.tail import TailOptions
from ..messages.suggest import did_you_mean

_TORCHS = ("capturable", "differentiable", "foreach", "fused")


def refuse_unknown(optimizer: type, given: Iterable[str], further: Iterable[str] = ()) -> None:
    """Raise for the first argument that an optimizer does not have.

    Args:
        optimizer: its class; what its constructor names, it takes.
        given: the names of the arguments that go beyond those.
        further: what it takes beside them, and beside the options of a tail.

    Raises:
        TypeError: there is one.
    """
    known = dict.fromkeys((*_named(optimizer), *further, *TailOptions.__annotations__))
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
    """Return who does have an argument, if it is known."""
    if optimizer.__module__.startswith("gpuopt.torch"):
        return ""
    if name in _TORCHS:
        return "; the optimizers of gpuopt.torch take torch.optim's arguments"
    return ""
