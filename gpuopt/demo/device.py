"""The digits as CuPy arrays, for training on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuopt.demo.data import Digits, Split

DEVICES = ("cpu", "cuda")


class NoDeviceError(RuntimeError):
    """The device is not available; the message says what is missing."""


def on_device(digits: Digits, device: str) -> Digits:
    """Return the digits on a device, one of `DEVICES`.

    Raises:
        NoDeviceError: the device is not available.
    """
    if device == "cpu":
        return digits
    try:
        import cupy
    except ImportError as error:
        raise NoDeviceError(
            f"--device cuda needs CuPy: pip install 'gpuopt[cupy13]', or cupy12 for a driver for "
            f"CUDA 12 ({error})"
        ) from None
    if not cupy.cuda.is_available():
        raise NoDeviceError("--device cuda: CuPy finds no CUDA device")
    return Digits(*(_moved(split, cupy) for split in (digits.train, digits.test)))


def _moved(split: Split, library: Any) -> Split:
    return Split(library.asarray(split.images), library.asarray(split.labels))


def wait_for(array: Any) -> Callable[[], None]:
    """Return a function that synchronizes with the device of an array."""
    if type(array) is np.ndarray:
        return lambda: None
    wait: Callable[[], None] = sys.modules["cupy"].cuda.get_current_stream().synchronize
    return wait
