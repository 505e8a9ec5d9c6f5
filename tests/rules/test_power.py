"""power() and real_power(): beta**t, the same bits everywhere, beside exact arithmetic."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from gpuopt.rules import power, real_power
from tests.tolerances import assert_close

BETAS = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1 - 2.0**-53)
REALISTIC = st.one_of(st.sampled_from(BETAS), st.floats(0.0, 1.0, exclude_max=True))
UNIT = 2.0**-53
"""The largest relative error of one rounding in float64."""


SMALL = 1e-300
"""Below, what float64 lacks is range, not accuracy."""


def exact(base, exponent):
    """base**exponent rounded to float64, through 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return float(Decimal(base) ** exponent)


@pytest.mark.parametrize("base", [0.0, 0.5, 0.9, 1.0])
def test_the_first_powers(base):
    assert [power(base, n) for n in range(3)] == [1.0, base, base * base]


@pytest.mark.parametrize("exponent", [1, 2, 3, 7, 64, 1000, 1074])
def test_powers_of_two_are_exact(exponent):
    assert power(0.5, exponent) == math.ldexp(1.0, -exponent)


@given(base=st.integers(0, 2**8), exponent=st.integers(0, 6))
def test_integers_are_exact(base, exponent):
    """Whatever fits into 53 bits has nothing to round."""
    assert power(float(base), exponent) == base**exponent


@given(beta=REALISTIC, exponent=st.integers(0, 300))
def test_beside_rational_arithmetic(beta, exponent):
    truth = float(Fraction(beta) ** exponent)
    if truth >= SMALL:
        assert_close(power(beta, exponent), truth, "power")


@pytest.mark.parametrize("beta", BETAS)
def test_beside_the_library(beta):
    ours = [power(beta, n) for n in range(1000)]
    assert_close(ours, [math.pow(beta, n) for n in range(1000)], "power")


def off_by_less_than_the_base(beta, exponent):
    """Whether a base half a unit away would be as wrong: no method knows beta better than that."""
    truth = exact(beta, exponent)
    return abs(power(beta, exponent) - truth) <= truth * math.expm1((exponent + 1) * UNIT)


@given(beta=REALISTIC, exponent=st.integers(1, 2**40))
def test_beside_sixty_digits(beta, exponent):
    assert exact(beta, exponent) < SMALL or off_by_less_than_the_base(beta, exponent)


@pytest.mark.parametrize("exponent", [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40])
def test_high_bits_of_the_exponent_count(exponent):
    beta = 1 - 2.0**-33
    assert off_by_less_than_the_base(beta, exponent)
    assert power(beta, exponent) < power(beta, exponent - 2**30) < 1


@pytest.mark.parametrize("exponent", [2**27, 2**31 - 1, 2**31, 2**32 + 1, 2**40 - 1, 2**40])
@pytest.mark.parametrize("beta", [0.0, 0.9, 0.99999])
def test_a_power_below_the_smallest_number_is_zero(beta, exponent):
    assert power(beta, exponent) == 0.0


@given(beta=REALISTIC, exponent=st.integers(0, 2**40))
def test_it_never_leaves_the_unit_interval(beta, exponent):
    assert 0.0 <= power(beta, exponent) <= 1.0


@given(beta=REALISTIC, exponent=st.integers(0, 2**40))
def test_numpy_numbers_give_the_bits_of_pythons(beta, exponent):
    with np.errstate(under="ignore"):
        assert power(np.float64(beta), np.int64(exponent)) == power(beta, exponent)


# --- real exponents -----------------------------------------------------------------------------


@given(
    base=st.one_of(st.just(0.96), st.floats(1e-3, 4.0)),
    exponent=st.one_of(st.floats(-1.0, 1.0), st.floats(-100.0, 100.0)),
)
def test_real_powers_beside_the_library(base, exponent):
    assert_close(real_power(base, exponent), math.pow(base, exponent), "real power")


@pytest.mark.parametrize("momentum_decay", [4e-3, 1e-5, 0.5])
def test_the_powers_of_nadam_beside_the_library(momentum_decay):
    exponents = [t * momentum_decay for t in (*range(1, 1000), 10**5)]
    ours = [real_power(0.96, x) for x in exponents]
    assert_close(ours, [math.pow(0.96, x) for x in exponents], "real power")


@given(base=REALISTIC, exponent=st.integers(0, 2**40))
def test_a_whole_exponent_is_the_power(base, exponent):
    assert real_power(base, exponent) == power(base, exponent)


@pytest.mark.parametrize("exponent", [0.5, 0.25, 0.75, 1.5, -0.5, -2.0, 0.0])
@pytest.mark.parametrize("base", [1.0, 16.0, 2.0**-40, 81.0])
def test_real_powers_that_are_exact(base, exponent):
    truth = 1.0
    for _ in range(int(4 * abs(exponent))):
        truth *= math.sqrt(math.sqrt(base))
    assert real_power(base, exponent) == (truth if exponent >= 0 else 1.0 / truth)


INF, NAN = math.inf, math.nan
LIMITS = [
    (0.0, 0.5, 0.0),
    (0.0, 0.0, 1.0),
    (0.0, -0.5, INF),
    (0.5, INF, 0.0),
    (0.5, -INF, INF),
    (1.0 - 2.0**-53, 1e300, 0.0),
    (1.0 + 2.0**-52, 1e300, INF),
    (1.0, 1e300, 1.0),
    (INF, 0.5, INF),
    (INF, 0.0, 1.0),
    (0.5, NAN, NAN),
    (NAN, 0.5, NAN),
    (-2.0, 0.5, NAN),
    (-2.0, 3.0, -8.0),
]


@pytest.mark.parametrize(("base", "exponent", "expected"), LIMITS)
def test_real_powers_at_the_limits(base, exponent, expected):
    np.testing.assert_equal(real_power(base, exponent), expected)


@given(base=REALISTIC, exponent=st.floats(0.0, 1e6))
def test_a_real_power_never_leaves_the_unit_interval(base, exponent):
    assert 0.0 <= real_power(base, exponent) <= 1.0


@given(base=REALISTIC, exponent=st.floats(0.0, 1e4))
def test_numpy_numbers_give_the_real_powers_of_pythons(base, exponent):
    assert real_power(np.float64(base), np.float64(exponent)) == real_power(base, exponent)
