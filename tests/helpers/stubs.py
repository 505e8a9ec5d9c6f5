"""What is written from the definitions of optimizers: stubs of their classes, and a table.

``python -m tests.helpers.stubs`` writes them. torch's arguments are those of the installed torch.
"""

import inspect
import math
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from gpuopt.engine.tail import Tail
from gpuopt.rules.definitions import DEFINITIONS
from tests.rules.oracles import TORCHS

GPUOPT = Path(__file__).parents[2] / "gpuopt"
FILES = {"arrays": GPUOPT / "optimizers" / "classes.pyi", "torch": GPUOPT / "torch" / "classes.pyi"}

HEAD = {
    "arrays": '''"""The optimizers over plain arrays. Written by `make stubs`."""

from typing import Any, SupportsFloat

from .base import Optimizer as Optimizer
from .passes import HessianUpdates, Modes
''',
    "torch": '''"""The drop-ins for torch.optim. Written by `make stubs`."""

from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from ..optimizers.passes import Modes
from .by_rule import Optimizer as Optimizer
from .fused import Fused
from .passes import HessianUpdates
''',
}


def stub(api):
    """The text of a stub file."""
    classes = "".join(f"\n{text}" for text in map(WRITERS[api], DEFINITIONS.values()))
    return f"{HEAD[api]}\n__all__ = {listed(['Optimizer', *DEFINITIONS])}\n{classes}"


def listed(names):
    return "[\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]"


def of_arrays(definition):
    """The class of an optimizer over plain arrays."""
    from gpuopt.optimizers import classes

    kind = getattr(classes, definition.name)
    types = {o.name: type_of(o, "SupportsFloat") for o in definition.options}
    attributes = "".join(f"    {o.name}: {type_of(o, 'Any')}\n" for o in definition.options)
    return class_text(kind, bases_of(kind), types, attributes + shared(definition))


def shared(definition):
    """The attributes of the numbers that parameters share."""
    return "".join(
        f"    @property\n    def {name}(self) -> float: ...\n" for name in definition.shared
    )


def of_torch(definition):
    """The drop-in of an optimizer."""
    from gpuopt.torch import classes

    kind = getattr(classes, definition.name)
    types = {o.name: type_of(o, "float | torch.Tensor") for o in definition.options}
    types |= {"params": "ParamsT", "norm_group": "Any"}
    return class_text(kind, bases_of(kind), types, shared(definition))


def bases_of(kind):
    """The bases of a class, as the stubs call them."""
    theirs = {f"torch.optim.{base.__name__}": base.__module__ for base in kind.__bases__}
    return ", ".join(
        name if module.startswith("torch.") else name.rpartition(".")[2]
        for name, module in theirs.items()
    )


def type_of(option, tensor):
    """What a parameter for an option is annotated with."""
    if not option.ranges:
        return "bool"
    if len(option.ranges) > 1:
        return f"tuple[{', '.join(['float'] * len(option.ranges))}]"
    if option.optional:
        return "float | None"
    return tensor if option.tensor else "float"


TYPES = {
    "params": "Any",
    "state_dtype": "str | None",
    "foreach": "bool | None",
    "fused": "bool | None",
    "capturable": "bool",
    "differentiable": "bool",
    **{field.name: field.type for field in fields(Tail)},
}


def class_text(kind, bases, types, attributes):
    """The text of a class: its docstring, attributes and constructor."""
    types = {**TYPES, **types}
    arguments, star = ["self"], False
    for p in inspect.signature(kind).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            arguments.append("*")
            star = True
        shown = "..." if p.default == math.inf else repr(p.default)  # a stub has no name for it
        default = "" if p.default is p.empty else f" = {shown}"
        arguments.append(f"{p.name}: {types[p.name]}{default}")
    lines = ",\n".join(f"        {argument}" for argument in arguments)
    raw = "r" if "\\" in kind.__doc__ else ""
    doc = textwrap.indent(f'{raw}"""{kind.__doc__}"""', "    ").replace("\n    \n", "\n\n")
    init = f"    def __init__(\n{lines},\n    ) -> None: ...\n"
    return f"class {kind.__name__}({bases}):\n{doc}\n\n{attributes}{init}"


WRITERS = {"arrays": of_arrays, "torch": of_torch}

PAGE = GPUOPT.parent / "docs" / "names.md"
START, END = "<!-- optimizers: written by make stubs -->\n", "<!-- end -->\n"


def page():
    """The text of docs/names.md with the table of all optimizers."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    head = "| class | torch.optim has it | arguments | rules |\n|---|---|---|---|\n"
    rows = "".join(map(row, DEFINITIONS.values()))
    return f"{before}{START}{head}{rows}{END}{rest.partition(END)[2]}"


def row(definition):
    by_place = [n for n in definition.defaults if n not in definition.keyword_only]
    given = {name: f"{name}={default!r}" for name, default in definition.defaults.items()}
    arguments = [*(given[n] for n in by_place), "*", *(given[n] for n in definition.keyword_only)]
    rules = ", ".join(f"`{rule.name}`" for rule in definition.all_rules)
    theirs = "yes" if definition.name in TORCHS else "no"
    return f"| `{definition.name}` | {theirs} | `{', '.join(arguments)}` | {rules} |\n"


if __name__ == "__main__":
    for api in sys.argv[1:] or FILES:
        FILES[api].write_text(stub(api), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
