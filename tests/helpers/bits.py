"""Bitwise comparison of arrays."""

import numpy as np

from gpuopt.arrays import to_numpy


def plain(array):
    """Return a copy of an array of any library as NumPy array in C order; bfloat16 as uint16."""
    return to_numpy(array)


def bits(array):
    """Return the elements as unsigned integers, the same for every NaN."""
    array = np.asarray(array)
    found = np.array(array, order="C").view(np.dtype(f"u{array.dtype.itemsize}"))
    with np.errstate(invalid="ignore"):  # ml_dtypes' isnan converts to float32
        return np.where(np.isnan(array), np.iinfo(found.dtype).max, found)


def same_bits(actual, expected):
    """Return whether two arrays have equal dtype, shape and bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    alike = actual.dtype == expected.dtype and actual.shape == expected.shape
    return alike and bool((bits(actual) == bits(expected)).all())


def assert_same_bits(actual, expected, what=""):
    """Fail unless `same_bits`; the message has the first difference."""
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
