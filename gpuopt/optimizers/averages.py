"""The EMA weights of an optimizer, and swapping them in for evaluation."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from ..arrays import assign, copy_as, describe, is_torch_tensor
from ..kernels.float_mode import in_default_mode


def averages(params: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the EMA of each parameter; the parameter itself before its first update."""
    return [own.get("ema", param) for param, own in zip(params, states)]


@in_default_mode  # an EMA of another dtype is rounded
def swap_in(
    params: Sequence[Any], states: Sequence[Mapping[str, Any]], fixed: Container[int] = ()
) -> ExitStack:
    """Give the parameters the values of their EMA until the returned object is closed.

    torch tensors swap their memory with an EMA of the same dtype, without a copy. Other arrays swap
    elements, one array at a time. If the EMA has another dtype, the parameter is copied and
    restored.

    Args:
        params: the parameters.
        states: the states of each parameter, by name.
        fixed: the indices of tensors that must keep their memory, because it has views.
    """
    with ExitStack() as undo:
        for i, (param, own) in enumerate(zip(params, states)):
            if "ema" in own:
                undo.callback(_swap(param, own["ema"], i in fixed))
        return undo.pop_all()


def _swap(param: Any, average: Any, fixed: bool) -> Any:
    """Swap a parameter and its EMA, and return a function that swaps them back."""
    same = describe(param, "parameter").dtype == describe(average, "ema").dtype
    if same and is_torch_tensor(param) and not fixed:
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
