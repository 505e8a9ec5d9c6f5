"""Generate an optimizer class from its definition: constructor, attributes, docstring."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from ..engine.tail import Tail
from ..kernels.trace.retarget import function_from
from ..rules.definitions import Definition
from ..rules.options import Option
from .passes import bases_for

_BY_PLACE, _BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY

WIDTH = 96
"""Maximum characters of a line, which is indented in stubs."""

ARRAYS = """a list of arrays, a dict of named arrays, or a list of groups, each a dict with
``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any shape; updated in
place"""

STATE_DTYPE = """of the states; None for float32 (float64 for float64 arrays). "8bit": codes of 8
bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and codes is
stochastic"""


class _Required:
    def __repr__(self) -> str:
        return "<required>"


REQUIRED: Any = _Required()
"""The default of a required argument, whose absence raises a special error."""


class GroupOption:
    """An attribute of an optimizer that reads and sets an option in all groups."""

    def __init__(self, name: str) -> None:
        """Store the option's name."""
        self._name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        """Return the value that all groups share."""
        if optimizer is None:
            return self
        values = [group[self._name] for group in optimizer.param_groups]
        if any(value != values[0] for value in values):
            raise AttributeError(
                f"{self._name} differs among the groups: {values}; read it from param_groups"
            )
        return values[0]

    def __set__(self, optimizer: Any, value: Any) -> None:
        """Set it in every group, or in none if one does not accept the value."""
        with optimizer._locked():  # no step sees it in some groups only
            groups = optimizer.param_groups
            taken = [group.accepted(self._name, value) for group in groups]
            for group, one in zip(groups, taken):
                group.take(self._name, one)


class SharedNumber:
    """An attribute of an optimizer for a number that its parameters share; see `Rule.shared`."""

    def __init__(self, name: str, start: float | str) -> None:
        """Store the number's name and its initial value, or the option that sets it."""
        self._name, self._start = name, start

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        """Return the number after the last step; synchronizes with a device."""
        if optimizer is None:
            return self
        with optimizer._locked():
            known = optimizer._step_taken().shared
            start = self._start
            first = optimizer.param_groups[0][start] if isinstance(start, str) else start
            return known.get(self._name, first)

    def __set__(self, optimizer: Any, value: Any) -> None:
        """Refuse: only steps change it."""
        raise AttributeError(f"{self._name}: found by the steps, and cannot be set")


@cache
def shared_numbers(definition: Definition) -> dict[str, SharedNumber]:
    """Return the attributes for the numbers that an optimizer's parameters share."""
    return {name: SharedNumber(name, start) for name, start in definition.shared.items()}


def constructor(definition: Definition, flags: Mapping[str, Any] = {}) -> Callable[..., None]:
    """Return an ``__init__`` that calls ``self._begin(params, options, more)``.

    Args:
        definition: the optimizer's.
        flags: further options, as keyword arguments with their defaults.
    """
    names = {**definition.defaults, **flags}
    by_name = (*definition.keyword_only, *flags)
    by_place = [f"{name}={name}_default" for name in names if name not in by_name]
    named = [f"{name}={name}_default" for name in by_name]
    arguments = ", ".join(["self", "params", *by_place, "*", *named, "**more"])
    options = ", ".join(f"{name!r}: {name}" for name in names)
    source = f"def __init__({arguments}):\n    self._begin(params, {{{options}}}, more)\n"
    known = {f"{name}_default": value for name, value in names.items()}
    made = function_from(source, "__init__", {"__name__": __name__, **known})
    made.__doc__ = "Check the arguments and take the arrays."
    return made


def signature(definition: Definition) -> inspect.Signature:
    """Return the signature of an optimizer over plain arrays, with all options of the tail."""
    by_place = [o for o in definition.options if o.name not in definition.keyword_only]
    by_name = [definition.by_name[name] for name in definition.keyword_only]
    named = ["rule"] if definition.registered else []
    return inspect.Signature(
        [
            *(inspect.Parameter(n, _BY_PLACE) for n in ("params", *named)),
            *(_parameter(o, _BY_PLACE) for o in by_place),
            *(_parameter(o, _BY_NAME) for o in by_name),
            inspect.Parameter("state_dtype", _BY_NAME, default=None),
            *tail_parameters(),
        ]
    )


def tail_parameters() -> list[inspect.Parameter]:
    """Return the options of a tail as parameters."""
    return [inspect.Parameter(f.name, _BY_NAME, default=f.default) for f in fields(Tail)]


def _parameter(option: Option, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(option.name, kind, default=option.default)


def docstring(
    definition: Definition,
    params: str = ARRAYS,
    more: Mapping[str, str] = {"state_dtype": STATE_DTYPE},
    example: str = "",
) -> str:
    """Return the docstring of a class.

    Args:
        definition: the optimizer's.
        params: the description of the argument ``params``.
        more: descriptions of the arguments between the optimizer's options and the tail's.
        example: a doctest; by default the definition's.
    """
    options = {option.name: option.description for option in definition.options}
    described = {"params": params, **options, **more, **tail_descriptions()}
    parts = [definition.summary]
    if definition.equation:
        parts.append(".. math::\n" + textwrap.indent(definition.equation.strip(), "    "))
    paragraphs = definition.remarks.strip().split("\n\n")
    parts += [textwrap.fill(" ".join(text.split()), WIDTH) for text in paragraphs]
    parts.append("Args:\n" + "\n".join(map(_argument, described, described.values())))
    parts.append("Raises:\n    TypeError, ValueError: an argument cannot be used; it is named.")
    parts.append((example or f">>> import numpy as np\n{definition.example.strip()}").strip())
    parts.append(f"{definition.source}.")
    return "\n\n".join(filter(None, parts)) + "\n"


@cache  # most arguments are those of many optimizers
def _argument(name: str, description: str) -> str:
    text = " ".join(description.split())
    return textwrap.fill(
        f"{name}: {text}.", WIDTH, initial_indent="    ", subsequent_indent="        "
    )


@cache
def tail_descriptions() -> dict[str, str]:
    """Return each option's description from the docstring of `Tail`."""
    written = inspect.getdoc(Tail) or ""  # none under python -OO
    attributes = written.partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): ((?:.|\n {5})*)", attributes, re.MULTILINE)
    return {name: text.strip().removesuffix(".") for name, text in entries}


def adopt_signature(cls: Any) -> None:
    """Give a class the signature of its constructor."""
    made = inspect.signature(cls.__init__)
    _, *parameters = made.parameters.values()
    cls.__signature__ = made.replace(parameters=parameters)


@cache
def class_of(base: type, definition: Definition, module: str) -> Any:
    """Return the class of an optimizer, with its own constructor, attributes and docstring.

    Args:
        base: its base class.
        definition: the optimizer's.
        module: the module that defines the class.
    """
    name = base.__name__ if definition.registered else definition.name
    names: dict[str, Any] = {option: GroupOption(option) for option in definition.defaults}
    names.update(shared_numbers(definition))
    names.update(__slots__=(), __module__=module, __qualname__=name)
    names.update(_definition=definition, __signature__=signature(definition))
    if definition.registered:
        names.update(rule=definition.registered, __doc__=base.__doc__)
    else:
        names.update(__init__=constructor(definition), __doc__=docstring(definition))
    return type(name, (*bases_for(definition), base), names)
