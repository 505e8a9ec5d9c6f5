"""The digits on a GPU, as CuPy arrays; the network and the optimizers follow them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuopt.demo.data import Digits, Split

DEVICES = ("cpu", "cuda")


class NoDeviceError(RuntimeError):
    """There is no such device here; the message says what is missing."""


def on_device(digits: Digits, device: str) -> Digits:
    """Return the digits on a device, one of `DEVICES`.

    Raises:
        NoDeviceError: it is not there.
    """
    if device == "cpu":
        return digits
    try:
        import cupy
    except ImportError as error:
        raise NoDeviceError(
            f"--device cuda needs CuPy: pip install 'gpuopt[cupy13]', or cupy12 where the driver "
            f"is for CUDA 12 ({error})"
        ) from None
    if not cupy.cuda.is_available():
        raise NoDeviceError("--device cuda: there is no CUDA device here that CuPy can use")
    return Digits(*(_moved(split, cupy) for split in (digits.train, digits.test)))


def _moved(split: Split, library: Any) -> Split:
    return Split(library.asarray(split.images), library.asarray(split.labels))


def wait_for(array: Any) -> Callable[[], None]:
    """Return what waits until the device of an array has done all that it was told."""
    if type(array) is np.ndarray:
        return lambda: None
    wait: Callable[[], None] = sys.modules["cupy"].cuda.get_current_stream().synchronize
    return wait
