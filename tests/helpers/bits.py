"""Comparing bits: what the backends promise."""

import numpy as np

from gpuopt.arrays import to_numpy


def plain(array):
    """A copy of an array of any library as a NumPy array in C order; bfloat16 as its bits."""
    return to_numpy(array)


def bits(array):
    """The elements as unsigned integers; every NaN as one and the same."""
    array = np.asarray(array)
    found = np.array(array, order="C").view(np.dtype(f"u{array.dtype.itemsize}"))
    with np.errstate(invalid="ignore"):  # ml_dtypes converts to float32 to look
        return np.where(np.isnan(array), np.iinfo(found.dtype).max, found)


def same_bits(actual, expected):
    """Whether two arrays are of one dtype and shape and hold the same bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    alike = actual.dtype == expected.dtype and actual.shape == expected.shape
    return alike and bool((bits(actual) == bits(expected)).all())


def assert_same_bits(actual, expected, what=""):
    """Fail unless `same_bits`, and show the first element that differs."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, not {expected.shape}"
    wrong = np.argwhere(bits(actual) != bits(expected))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise AssertionError(
            f"{what}: {len(wrong)} of {actual.size} elements differ, the first at {at}: "
            f"{actual[at]!r}, not {expected[at]!r}"
        )
