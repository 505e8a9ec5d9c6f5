"""The EMA weights of an optimizer, and swapping them in for an evaluation."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..arrays import assign, copy_as, describe, is_torchs


def averages(params: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the EMA of each parameter; the parameter itself before its first update."""
    return [own.get("ema", param) for param, own in zip(params, states)]


@contextmanager
def swapped(
    params: Sequence[Any], states: Sequence[Mapping[str, Any]], fixed: Container[int] = ()
) -> Iterator[None]:
    """Return a context in which the parameters have the values of their EMA.

    torch tensors swap their memory with an EMA of the same dtype, without a copy. Other arrays swap
    elements, one array at a time. If the EMA has another dtype, the parameter is copied and
    restored.

    Args:
        params: the parameters.
        states: of each parameter, by name.
        fixed: the indices of tensors that must keep their memory, because there are views of it.
    """
    with ExitStack() as undo:
        for i, (param, own) in enumerate(zip(params, states)):
            if "ema" in own:
                undo.callback(_swap(param, own["ema"], i in fixed))
        yield


def _swap(param: Any, average: Any, fixed: bool) -> Any:
    """Swap a parameter and its EMA, and return a function that swaps them back."""
    same = describe(param, "parameter").dtype == describe(average, "ema").dtype
    if same and is_torchs(param) and not fixed:
        return _swap_memory(param, average)
    kept = copy_as(param, describe(param, "parameter").dtype)
    if same:
        assign(param, average)
        assign(average, kept)
        return lambda: _swap(param, average, fixed)
    assign(param, copy_as(average, describe(param, "parameter").dtype))
    return lambda: assign(param, kept)


def _swap_memory(param: Any, average: Any) -> Any:
    param.data, average.data = average.data, param.data
    return lambda: _swap_memory(param, average)
