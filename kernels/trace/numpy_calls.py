"""A rule as NumPy calls that reuse a few scratch arrays.

Called directly, a rule allocates a new array for every operation, and the arrays evict each other
from the cache. The program runs the same operations in the same order, so it gives the same bits,
but writes each result to its destination or to a free scratch array.
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
"""The NumPy call of each traced operation: its operands, then the output array."""


@dataclass(frozen=True)
class Program:
    """The update of one block.

    Attributes:
        function: ``results = function(*values, *element, *coefficients, *scratch)``.
        scratch: the dtypes of its scratch arrays, each as long as the block.
    """

    function: Callable[..., tuple[Any, ...]]
    scratch: tuple[str, ...]


@cache
def program(update: Update, compute: str, in_place: tuple[int, ...]) -> Program:
    """Compile the program of an update.

    Args:
        update: the composed update.
        compute: the compute dtype.
        in_place: the lists whose values may be overwritten with their results.
    """
    count = len(update.read) + len(update.random_streams) + len(update.coefficient_names)
    inputs = [f"a{i}" for i in range(count)]
    traced = _without_bare_inputs(trace(update.function, tuple(inputs)), inputs)
    value = dict(zip(update.read, inputs))
    targets = {r: value[i] for r, i in zip(traced.results, update.written) if i in in_place}
    lines, results, scratch = _assemble(traced, inputs, targets, compute)
    parameters = ", ".join([*inputs, *scratch])
    header, footer = f"def run({parameters}):", f"return ({', '.join(results)},)"
    names: dict[str, Any] = {"np": np, "number": np.dtype(compute).type, "inf": np.inf}
    names.update((name, getattr(roundings, name)) for name in ROUNDINGS)
    exec("\n    ".join((header, *lines, footer)), names)  # generated below
    return Program(names["run"], tuple(scratch.values()))


def _without_bare_inputs(traced: Trace, inputs: Sequence[str]) -> Trace:
    """Copy results that are unchanged inputs: storing other results could overwrite them."""
    copies = {r: f"copy_{r}" for r in traced.results if r in inputs}
    return Trace(
        traced.function,
        [*traced.operations, *(Operation("copy", (r,), copy) for r, copy in copies.items())],
        tuple(copies.get(r, r) for r in traced.results),
    )


def _assemble(
    traced: Trace, inputs: Sequence[str], targets: Mapping[str, str], compute: str
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the calls, the arrays of the results, and the scratch arrays with their dtypes.

    Args:
        traced: the operations.
        inputs: the names of values and coefficients.
        targets: for a result, the input that it may overwrite after that input's last read.
        compute: the dtype of everything but masks.
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
        target = targets.get(operation.result)
        if target is None or last_read.get(target, -1) > k:
            dtype = "bool" if operation.name in COMPARISONS else compute
            target = free[dtype].pop() if free[dtype] else f"s{len(scratch)}"
            scratch[target] = dtype
        place[operation.result] = target
        lines.append(CALLS[operation.name].format(*operands, target))
    return lines, [place[name] for name in traced.results], scratch
