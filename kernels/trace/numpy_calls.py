"""A rule as NumPy calls that write into a few arrays, again and again.

Called as it stands, a rule makes a new array for every operation, and they push each other out
of the cache. The program is the same operations on the same values in the same order, so it
gives the same bits; each result goes where it belongs, or to a scratch array that is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .. import roundings
from ..table import Update
from .operations import COMPARISONS, ROUNDINGS, Operation, Trace, trace

CALLS = {
    "+": "np.add({}, {}, out={})",
    "-": "np.subtract({}, {}, out={})",
    "*": "np.multiply({}, {}, out={})",
    "-x": "np.negative({}, out={})",
    "<": "np.less({}, {}, out={})",
    "<=": "np.less_equal({}, {}, out={})",
    ">": "np.greater({}, {}, out={})",
    ">=": "np.greater_equal({}, {}, out={})",
    "==": "np.equal({}, {}, out={})",
    "!=": "np.not_equal({}, {}, out={})",
    "divide": "np.divide({}, {}, out={})",
    "sqrt": "np.sqrt({}, out={})",
    "abs": "np.absolute({}, out={})",
    "maximum": "np.maximum({}, {}, out={})",
    "minimum": "np.minimum({}, {}, out={})",
    "where": "np.copyto({3}, np.where({0}, {1}, {2}))",
    "copy": "np.copyto({1}, {0})",
    **{
        name: f"np.copyto({{{n}}}, {name}({', '.join(f'{{{i}}}' for i in range(n))}))"
        for name, n in ROUNDINGS.items()
    },
}
"""What each traced operation is in NumPy: its operands, then where its result goes."""


@dataclass(frozen=True)
class Program:
    """An update of one block.

    Attributes:
        function: ``results = function(*values, *element, *coefficients, *scratch)``.
        scratch: the dtypes of the arrays that it computes in, each as long as the block.
    """

    function: Callable[..., tuple[Any, ...]]
    scratch: tuple[str, ...]


@cache
def program(update: Update, compute: str, in_place: tuple[int, ...]) -> Program:
    """Compile the program of an update.

    Args:
        update: the composed update.
        compute: the dtype that it computes in.
        in_place: the lists whose values may be written, each with the result that takes its
            place.
    """
    count = len(update.read) + len(update.random_streams) + len(update.coefficient_names)
    inputs = [f"a{i}" for i in range(count)]
    traced = _without_bare_inputs(trace(update.function, tuple(inputs)), inputs)
    value = dict(zip(update.read, inputs))
    homes = {r: value[i] for r, i in zip(traced.results, update.written) if i in in_place}
    lines, results, scratch = _assemble(traced, inputs, homes, compute)
    parameters = ", ".join([*inputs, *scratch])
    header, footer = f"def run({parameters}):", f"return ({', '.join(results)},)"
    names: dict[str, Any] = {"np": np, "number": np.dtype(compute).type, "inf": np.inf}
    names.update((name, getattr(roundings, name)) for name in ROUNDINGS)
    exec("\n    ".join((header, *lines, footer)), names)  # the text is our own, below
    return Program(names["run"], tuple(scratch.values()))


def _without_bare_inputs(traced: Trace, inputs: Sequence[str]) -> Trace:
    """Make results that are inputs copies: they would change when others are stored."""
    copies = {r: f"copy_{r}" for r in traced.results if r in inputs}
    return Trace(
        traced.function,
        [*traced.operations, *(Operation("copy", (r,), copy) for r, copy in copies.items())],
        tuple(copies.get(r, r) for r in traced.results),
    )


def _assemble(
    traced: Trace, inputs: Sequence[str], homes: Mapping[str, str], compute: str
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the calls, where the results are, and the scratch arrays with their dtypes.

    Args:
        traced: the operations.
        inputs: the names of values and coefficients.
        homes: for a result, the input that it may overwrite once nobody reads that any more.
        compute: the dtype of all that is no mask.
    """
    last_read = {x: k for k, o in enumerate(traced.operations) for x in o.operands}
    last_read.update(dict.fromkeys(traced.results, len(traced.operations)))
    place = {name: name for name in inputs}
    scratch: dict[str, str] = {}
    free: dict[str, list[str]] = {compute: [], "bool": []}
    lines = []
    for k, operation in enumerate(traced.operations):
        operands = [
            place[x] if isinstance(x, str) else f"number({x!r})" for x in operation.operands
        ]
        for name in dict.fromkeys(operation.operands):
            if last_read[name] == k and place.get(str(name)) in scratch:
                free[scratch[place[str(name)]]].append(place[str(name)])
        target = homes.get(operation.result)
        if target is None or last_read.get(target, -1) > k:
            dtype = "bool" if operation.name in COMPARISONS else compute
            target = free[dtype].pop() if free[dtype] else f"s{len(scratch)}"
            scratch[target] = dtype
        place[operation.result] = target
        lines.append(CALLS[operation.name].format(*operands, target))
    return lines, [place[name] for name in traced.results], scratch
