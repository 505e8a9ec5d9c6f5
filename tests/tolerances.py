"""Every tolerance of the tests, each with its reason.

Backends are compared with ``==``. A tolerance is for what rounds differently by nature: another
library's order of operations, a formula written out in float64 beside a float32 run, a sum. A
test names the entry that it needs; no number stands in a test.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """How far a result may lie from what is expected.

    Attributes:
        relative: to each expected element.
        reason: why not 0, and why not more.
        absolute: beside it, where an expected element may be next to zero.
    """

    relative: float
    reason: str
    absolute: float = 0.0


TOLERANCES = {
    "torch float64": Tolerance(
        1e-12,
        "torch orders the same operations differently: a handful of roundings of 1.1e-16 a step, "
        "in five steps; 2e-14 was seen, where what centered RMSProp subtracts cancels",
    ),
    "totals float64": Tolerance(
        1e-12,
        "the package adds up all elements in another order, 50 times: a rounding is 1.1e-16, and "
        "the estimate that the sums give multiplies every step",
        absolute=1e-13,
    ),
    "totals of a backend": Tolerance(
        2e-6,
        "backends add up the chunks of all tensors in an order of their own, in float64; the "
        "estimate that follows is rounded to float32 in the coefficients: to the nearest or its "
        "neighbour, a relative 6e-8 in each of a few steps",
        absolute=1e-6,
    ),
    "totals in 16 bits": Tolerance(
        2.0**-7,
        "as above, where a neighbour of the float32 may be rounded to a neighbour of the bfloat16",
        absolute=1e-6,
    ),
    "a few cancellations float64": Tolerance(
        1e-11,
        "fifty steps by a formula in another order, 1e-14 off together; some of 200 parameters end "
        "next to zero",
    ),
    "formula float64": Tolerance(
        1e-12,
        "the formula as it is printed divides where the rule multiplies by a reciprocal: a "
        "handful of roundings of 1.1e-16 a step, in ten steps",
    ),
    "formula float32": Tolerance(
        5e-6,
        "ten steps in float32 (a rounding is 6e-8) beside a float64 run; where steps cancel, as "
        "in a mean of gradients of both signs, what counts is the size of the steps",
        absolute=1e-6,
    ),
    "worked value": Tolerance(
        1e-12,
        "a value that can be written down exactly, reached in float64 through a few roundings",
    ),
    "seven digits": Tolerance(
        5e-7,
        "the published value has seven digits and was computed in float32",
    ),
    "float32 coefficient": Tolerance(
        1.2e-7,
        "a coefficient is rounded to float32 once, from a float64 value that is off by far less: "
        "the result is the nearest float32 or its neighbour",
    ),
    "ratio float64": Tolerance(
        1e-12,
        "a few products and quotients of float64 numbers, in another order than the code's",
    ),
    "sum in another order": Tolerance(
        1e-12,
        "a float64 sum of up to a million squares: the lanes and chunks that a backend adds up "
        "side by side are rounded otherwise than NumPy's pairs; and what it scales, where that "
        "cancels",
        absolute=1e-15,
    ),
    "sum of a chunk": Tolerance(
        1e-13,
        "a float64 sum of at most 8,192 squares of one sign, its lanes added up in another order",
    ),
    "few roundings in float32": Tolerance(
        1e-6,
        "a norm in torch's float32, or a ratio of what float32 weights hold, beside the same in "
        "float64: a handful of roundings of 6e-8",
    ),
    "difference of weights": Tolerance(
        1e-4,
        "an update is what float32 weights differ by: for weights of 0.1 a difference of 1e-4 is "
        "off by up to 7e-9",
    ),
    "average of rounded weights": Tolerance(
        1e-6,
        "averages in float32 (a rounding is 6e-8) over some steps, beside torch's, which rounds "
        "the products in another order",
        absolute=1e-7,
    ),
    "ten trained steps": Tolerance(
        5e-5,
        "a float32 loss after ten steps of two trainings: each step rounds differently (6e-8), and "
        "the network passes the differences on, some of them enlarged",
    ),
    "twenty trained steps float64": Tolerance(
        1e-9,
        "twenty steps of two trainings that order the same operations differently (1.1e-16 each): "
        "the network passes the differences on, and Adam's first steps are all of the size of lr",
        absolute=1e-12,
    ),
    "two trainings": Tolerance(
        0.02,
        "two float32 trainings whose steps round differently drift apart by chance; what must be "
        "the same is where they arrive, a mean of losses over batches",
    ),
    "slope": Tolerance(
        1e-6,
        "central differences of 1e-6 in float64 are off by about 1e-10, and gradients are about "
        "0.1",
        absolute=1e-8,
    ),
    "published rate": Tolerance(
        0.01,
        "a datasheet gives a rate with two or three digits, and the clock that it comes from too",
    ),
    "mean of a narrow state": Tolerance(
        0.03,
        "rounding by chance is right on average: what is left is the noise of a mean over some "
        "hundred elements, each off by some units of 2**-8, and of Rprop's steps, which multiply",
    ),
    "weights by states in 8 bits": Tolerance(
        0.05,
        "the error of a weight per step, in the largest step of float64: a code is off by 1/127 of "
        "an average at most and by chance, and the errors of many steps cancel; 0.014 was seen",
    ),
    "weights beside an outlier in 8 bits": Tolerance(
        0.4,
        "as above where a block holds gradients of several sizes: roots below 1/255 of its largest "
        "are kept as 1/255, so the steps of such weights are too small; 0.19 was seen",
    ),
    "power": Tolerance(
        1e-13,
        "a product of n factors is off by at most n roundings of 1.1e-16, for n below 1,000; "
        "2.4e-14 was seen",
    ),
    "real power": Tolerance(
        1e-13,
        "beside what power rounds, at most 52 square roots, each off by one rounding of 1.1e-16 "
        "and half of the one before, and their product; 4.4e-14 was seen for exponents to 600",
    ),
    "re-encoded softsign8": Tolerance(
        1.0 / 127.0,
        "half a code of 127, where the softsign is coarsest: twice a code's share of the largest "
        "value in the block",
    ),
    "re-encoded root8": Tolerance(
        1.01 / 255.0,
        "half a code of 255 of the root; the square's error is twice that, of the largest value "
        "in the block, and half a code's square more",
    ),
}


def assert_close(actual, expected, tolerance):
    """Fail unless every element is within the named tolerance; a NaN equals a NaN.

    Args:
        actual: what the code under test gave.
        expected: what the oracle says.
        tolerance: a name in `TOLERANCES`.
    """
    allowed = TOLERANCES[tolerance]
    np.testing.assert_allclose(
        actual,
        expected,
        rtol=allowed.relative,
        atol=allowed.absolute,
        err_msg=f"tolerance {tolerance!r}: {allowed.reason}",
    )
