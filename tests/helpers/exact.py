"""Bitwise equality without tolerance; every NaN equals every other."""

import sys

import numpy as np

from tests.helpers.values import DTYPES


def plain(array):
    """Return the elements of an array of any library, as a new NumPy array in C order."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        array = array.detach()
        if array.dtype == torch.bfloat16:
            return array.contiguous().view(torch.int16).numpy().view(DTYPES["bfloat16"]).copy()
        array = array.numpy()
    if isinstance(array, float):  # a number that a tensor carries
        return np.array(array)
    if not isinstance(array, np.ndarray):
        array = np.from_dlpack(array)
    return np.array(array, order="C", copy=True)


def assert_same_bits(actual, expected, what=""):
    """Fail at the first element whose bits differ; 0.0 and -0.0 differ."""
    actual, expected = plain(actual), plain(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype} is not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape} is not {expected.shape}"
    differ = _bits(actual) != _bits(expected)
    with np.errstate(invalid="ignore"):  # signalling NaN
        differ &= ~(np.isnan(actual) & np.isnan(expected))
    if differ.any():
        place = tuple(int(i) for i in np.argwhere(differ)[0])
        raise AssertionError(
            f"{what}: {differ.sum()} of {differ.size} elements differ, the first at {place}: "
            f"{actual[place]!r} is not {expected[place]!r}"
        )


def _bits(array):
    return array.view(f"u{array.itemsize}")
