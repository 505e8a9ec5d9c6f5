"""What a drop-in is made with: checked by name where torch's own check would not say which it is.

torch compares an argument with a number, and fails with what Python says of that comparison.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from ..optimizers.options import PAIRS
from ..optimizers.unknown import refuse_unknown
from .group_options import RANGES

_NUMBERS = frozenset(name for name, accepted in RANGES.items() if len(accepted) == 1)
"""The options that are one number; the pairs are `PAIRS`."""

_BESIDE = ("state_dtype", "norm_group")
"""What every drop-in takes beside torch's arguments and those of a tail."""


def check_arguments(
    optimizer: type, init: Callable[..., None], args: Sequence[Any], options: Mapping[str, Any]
) -> None:
    """Check what goes to a constructor of torch's.

    Args:
        optimizer: whose constructor was called.
        init: torch's, bound.
        args: its arguments by place.
        options: its arguments by name.

    Raises:
        TypeError, ValueError: it has no such argument, or that takes a number and was given none.
    """
    names = _names(getattr(init, "__func__", init))
    if names is not None:
        refuse_unknown(optimizer, [name for name in options if name not in names], _BESIDE)
    check_numbers({**dict(zip(names or (), args)), **options})


def check_numbers(arguments: Mapping[str, Any]) -> None:
    """Check those arguments that are numbers, or pairs of them.

    Raises:
        TypeError, ValueError: one is none.
    """
    for name, value in arguments.items():
        if name in PAIRS:
            for i, part in enumerate(_two(name, value)):
                _check_number(f"{name}[{i}]", part)
        elif name in _NUMBERS:
            _check_number(name, value)


def _check_number(name: str, value: Any) -> None:
    text = isinstance(value, (str, bytes))  # NumPy has texts with __float__
    if text or not hasattr(type(value), "__float__"):
        raise TypeError(f"{name}: expected a number, got {value!r:.80}")


def _two(name: str, value: Any) -> tuple[Any, Any]:
    try:
        return value[0], value[1]
    except IndexError:
        raise ValueError(f"{name}: expected 2 numbers, got {value!r:.80}") from None
    except (KeyError, TypeError):
        raise TypeError(f"{name}: expected 2 numbers, got {value!r:.80}") from None


@cache
def _names(init: Callable[..., None]) -> tuple[str, ...] | None:
    """Return the arguments of a constructor in their order; None, if it takes any."""
    _, *parameters = inspect.signature(init).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters)
