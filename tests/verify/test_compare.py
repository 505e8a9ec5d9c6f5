import ml_dtypes
import numpy as np
import pytest

from gpuopt.verify.compare import Left, differences, left, numbers

VALUES = np.array([1.0, -0.0, np.nan, np.inf, 2.0**-126], np.float32)


def found(values, expected=VALUES, dtype="float32"):
    return differences({"param 0": Left(values, dtype)}, {"param 0": Left(expected, dtype)})


def test_the_same_bits_are_no_difference():
    assert found(VALUES.copy()) == []


def test_every_nan_equals_every_other():
    other = VALUES.copy()
    other.view("u4")[2] = 0xFFC01234
    assert np.isnan(other[2])
    assert found(other) == []


@pytest.mark.parametrize("at", [0, 1, 3, 4])
def test_one_bit_is_named_with_both_elements(at):
    other = VALUES.copy()
    other.view("u4")[at] ^= 1
    (one,) = found(other)
    assert (one["what"], one["dtype"], one["elements"], one["differ"]) == (
        "param 0",
        "float32",
        5,
        1,
    )
    (first,) = one["first"]
    assert first["at"] == [at]
    assert first["found"] == f"{float(other[at])!r} (0x{other.view('u4')[at]:08x})"
    assert first["expected"] == f"{float(VALUES[at])!r} (0x{VALUES.view('u4')[at]:08x})"


def test_zeros_of_both_signs_differ():
    (one,) = found(np.zeros(1, np.float32), -np.zeros(1, np.float32))
    assert one["first"][0]["found"].startswith("0.0 ")
    assert one["first"][0]["expected"].startswith("-0.0 ")


def test_no_more_than_the_first_elements_are_named():
    (one,) = found(np.zeros((3, 5), np.float32), np.ones((3, 5), np.float32))
    assert one["differ"] == 15
    assert [first["at"] for first in one["first"]] == [[0, 0], [0, 1], [0, 2]]


def test_bfloat16_is_shown_as_numbers():
    mine, theirs = (left(np.array([x], ml_dtypes.bfloat16)) for x in (1.0, 1.0078125))
    (one,) = differences({"p": mine}, {"p": theirs})
    assert one["first"] == [{"at": [0], "found": "1.0 (0x3f80)", "expected": "1.0078125 (0x3f81)"}]


def test_what_is_missing_or_of_another_form_is_said():
    here, other = numbers(1.0), Left(np.ones(1, np.float32), "float32")
    assert differences({}, {"a": here})[0]["what"] == "a is missing"
    assert differences({"a": here}, {})[0]["what"] == "a should not be there"
    (one,) = differences({"a": other}, {"a": here})
    assert one["what"] == "a is float32[1], not float64[1]"


@pytest.mark.parametrize(("off", "count"), [(1e-13, 0), (1e-11, 1)])
def test_a_sum_in_another_order_may_be_off_in_its_last_digits(off, count):
    assert len(differences({"n": numbers(3.0 + 3 * off)}, {"n": numbers(3.0, 1e-12)})) == count
    assert len(differences({"n": numbers(3.0 + 3 * off)}, {"n": numbers(3.0)})) == 1


@pytest.mark.parametrize("wrong", [np.inf, np.nan, 0.0])
def test_a_sum_that_is_not_finite_is_none_that_is(wrong):
    assert differences({"n": numbers(wrong)}, {"n": numbers(3.0, 1e-12)})
    assert differences({"n": numbers(3.0)}, {"n": numbers(wrong, 1e-12)})
    assert not differences({"n": numbers(wrong)}, {"n": numbers(wrong, 1e-12)})
