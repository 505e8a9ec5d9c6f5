"""The averaged weights of an optimizer, and their exchange with the weights for a while."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..arrays import assign, copy_as, describe, is_torchs


def averages(params: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the average of each parameter: the parameter itself before its first update."""
    return [held.get("ema", param) for param, held in zip(params, states)]


@contextmanager
def swapped(
    params: Sequence[Any], states: Sequence[Mapping[str, Any]], fixed: Container[int] = ()
) -> Iterator[None]:
    """Let the parameters be their averages for a while.

    torch tensors and their averages change places without a copy where they are of one dtype.
    Other arrays exchange their elements, one array at a time; where the average is of another
    dtype, the parameter is kept aside.

    Args:
        params: the parameters.
        states: of each.
        fixed: places of tensors whose memory others know, so that it is to stay theirs.
    """
    with ExitStack() as undo:
        for i, (param, held) in enumerate(zip(params, states)):
            if "ema" in held:
                undo.callback(_exchange(param, held["ema"], i in fixed))
        yield


def _exchange(param: Any, average: Any, fixed: bool) -> Any:
    """Exchange, and return what undoes it; in place, if ``fixed``."""
    same = describe(param, "parameter").dtype == describe(average, "ema").dtype
    if same and is_torchs(param) and not fixed:
        return _exchange_memory(param, average)
    kept = copy_as(param, describe(param, "parameter").dtype)
    if same:
        assign(param, average)
        assign(average, kept)
        return lambda: _exchange(param, average, fixed)
    assign(param, copy_as(average, describe(param, "parameter").dtype))
    return lambda: assign(param, kept)


def _exchange_memory(param: Any, average: Any) -> Any:
    param.data, average.data = average.data, param.data
    return lambda: _exchange_memory(param, average)
