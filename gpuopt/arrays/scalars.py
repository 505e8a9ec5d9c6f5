"""Options that are one-element arrays, such as an lr that a captured graph reads each time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from . import is_cupy_array, is_torch_tensor


def is_array(value: Any) -> bool:
    """Return whether a value is a torch tensor or a CuPy array."""
    return is_torch_tensor(value) or is_cupy_array(value)


def is_one_float(array: Any) -> bool:
    """Return whether an array has exactly one element, a float."""
    if is_torch_tensor(array):
        return bool(array.numel() == 1 and array.is_floating_point())
    return bool(array.size == 1 and array.dtype.kind == "f")


def device_of(array: Any) -> str:
    """Return ``"cpu"`` or ``"cuda:0"``."""
    return str(array.device) if is_torch_tensor(array) else f"cuda:{array.device.id}"


def on_host(array: Any) -> bool:
    """Return whether an array is on the CPU, so that reading it does not synchronize."""
    return device_of(array) == "cpu"


def value_of(array: Any) -> float:
    """Return the value of an array of one element; synchronizes with its device."""
    return float(array.detach() if is_torch_tensor(array) else array)


def number_of(value: Any) -> float:
    """Return an option as a number; 0.0 for an array on a device, where the kernel reads it.

    Raises:
        TypeError, ValueError, RuntimeError: it is not a number; strings never are.
    """
    if isinstance(value, (str, bytes)):
        raise TypeError(f"expected a number, got {value!r}")
    if not is_array(value):
        return float(value)
    return value_of(value) if on_host(value) else 0.0


def number_or_value(value: Any) -> float:
    """Return a number, or the value of an array, which synchronizes."""
    return value_of(value) if is_array(value) else float(value)


def arrays_among(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose values are arrays."""
    return {name: value for name, value in values.items() if is_array(value)}


def fill(array: Any, value: float) -> None:
    """Set the value of an array, asynchronously."""
    if is_torch_tensor(array):
        with sys.modules["torch"].no_grad():
            array.fill_(value)
    else:
        with array.device:
            array.fill(value)
