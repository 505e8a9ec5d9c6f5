"""Checks of drop-ins' arguments, with errors that name the argument.

torch only compares an argument with a number, and lets Python's TypeError propagate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from ..optimizers.constructors import tail_parameters
from ..optimizers.unknown import refuse_unknown
from ..rules.definitions import Definition
from .flags import FLAGS

OWN = ("state_dtype", "norm_group")
"""The arguments of every drop-in besides torch's and the tail's."""


def own_parameters() -> list[inspect.Parameter]:
    """Return the parameters that every drop-in takes besides torch's."""
    only = inspect.Parameter.KEYWORD_ONLY
    return [*(inspect.Parameter(name, only, default=None) for name in OWN), *tail_parameters()]


def check_arguments(
    optimizer: Any, init: Callable[..., None], args: Sequence[Any], options: Mapping[str, Any]
) -> None:
    """Check the arguments of one of torch's constructors.

    Args:
        optimizer: the optimizer whose constructor was called.
        init: torch's constructor, bound to it.
        args: its positional arguments.
        options: its keyword arguments.

    Raises:
        TypeError, ValueError: an argument does not exist, or is not a number and should be.
    """
    names = _names(getattr(init, "__func__", init))
    if names is not None:
        unknown = [name for name in options if name not in names]
        definition = optimizer._definition
        more = (*definition.defaults, *FLAGS) if definition.registered else ()
        refuse_unknown(type(optimizer), unknown, (*more, *OWN))
    check_numbers(optimizer._definition, {**dict(zip(names or (), args)), **options})


def check_no_duplicates(params: Iterable[Any]) -> None:
    """Raise ValueError if a parameter is given twice."""
    first: dict[int, int] = {}
    for i, param in enumerate(params):
        before = first.setdefault(id(param), i)
        if before != i:
            raise ValueError(
                f"params: a parameter is given twice, at {before} and at {i}, of shape "
                f"{tuple(param.shape)}"
            )


def check_numbers(definition: Definition, arguments: Mapping[str, Any]) -> None:
    """Check that numeric arguments, and tuples of numbers, are numeric.

    Raises:
        TypeError, ValueError: one is not.
    """
    for name, value in arguments.items():
        option = definition.by_name.get(name)
        if option is None or not option.ranges:
            continue
        if len(option.ranges) == 1:
            if not (value is None and option.optional):
                _check_number(name, value)
        else:
            for i, part in enumerate(_first(len(option.ranges), name, value)):
                _check_number(f"{name}[{i}]", part)


def _check_number(name: str, value: Any) -> None:
    text = isinstance(value, (str, bytes))  # NumPy's strings have __float__
    if text or not hasattr(type(value), "__float__"):
        raise TypeError(f"{name}: expected a number, got {value!r:.80}")


def _first(count: int, name: str, value: Any) -> list[Any]:
    try:
        return [value[i] for i in range(count)]
    except IndexError:
        raise ValueError(f"{name}: expected {count} numbers, got {value!r:.80}") from None
    except (KeyError, TypeError):
        raise TypeError(f"{name}: expected {count} numbers, got {value!r:.80}") from None


@cache
def _names(init: Callable[..., None]) -> tuple[str, ...] | None:
    """Return the names of a constructor's arguments in order; None if it takes ``*args``."""
    _, *parameters = inspect.signature(init).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters)
