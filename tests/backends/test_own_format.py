"""A user's own format, and every layout: the bits of the reference on every backend."""

import re

import numpy as np
import pytest

import gpuopt
from gpuopt import RuleError
from tests.helpers.exact import assert_same_bits
from tests.helpers.layouts import LAYOUTS, Placed
from tests.helpers.stepping import REFERENCE
from tests.helpers.values import values

SHAPES = ((4096,), (5, 6, 13, 17), (8192 + 31,), (0, 3))


def decode_linear(code, scale):
    """value = scale * code/127."""
    return scale * np.divide(code, 127.0)


def encode_linear(x, scale):
    return 127.0 * np.divide(x, scale)


def decode_fourth(code, scale):
    """root = scale * code/255; value = root**4: unsigned, with `prepare`."""
    part = np.divide(code, 255.0) * scale
    square = part * part
    return square * square


def encode_fourth(x, scale):
    return 255.0 * np.divide(x, scale)


def fourth_root(value):
    return np.sqrt(np.sqrt(np.abs(value)))


OWN = {
    "linear8": ("int8", decode_linear, encode_linear),
    "fourth8": ("uint8", decode_fourth, encode_fourth, fourth_root),
}


@pytest.fixture(autouse=True)
def registered():
    before = dict(gpuopt.FORMATS)
    for name, parts in OWN.items():
        gpuopt.register_format(name, *parts)
    yield
    gpuopt.FORMATS.clear()
    gpuopt.FORMATS.update(before)


def run(backend, own, layout=None, steps=3, name="Adam"):
    def placed(seed):
        made = [values("ordinary", shape, "float32", seed + i) for i, shape in enumerate(SHAPES)]
        if layout is not None:
            made[1] = Placed(made[1], LAYOUTS[layout]).array
        return made

    params = placed(0)
    with gpuopt.use_backend(backend):
        opt = getattr(gpuopt, name)(params, lr=0.01, state_dtype=own)
        for step in range(1, steps + 1):
            opt.step(placed(10 * step))
    return params, opt


def assert_alike(one, other):
    for i, (p, q) in enumerate(zip(one[0], other[0])):
        assert_same_bits(q, p, f"parameter {i}")
    saved, theirs = one[1].state_dict()["state"], other[1].state_dict()["state"]
    for key, own in saved.items():
        for state, value in own.items():
            assert_same_bits(np.asarray(theirs[key][state]), np.asarray(value), f"{state} of {key}")


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("name", ["Adam", "Momentum"])
def test_the_bits_of_the_reference(backend, own, name):
    expected, actual = run(REFERENCE, own, name=name), run(backend, own, name=name)
    state = "exp_avg" if name == "Adam" else "momentum_buffer"
    assert str(actual[1].state_dict()["state"][0][state].dtype) == OWN[own][0]
    assert_alike(expected, actual)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(backend, layout):
    assert_alike(run(REFERENCE, "8bit", layout), run(backend, "8bit", layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_decoded_values_are_those_of_the_layout(layout):
    """The order of a state's elements is that of its memory: each belongs to its parameter's."""
    _, opt = run(REFERENCE, "8bit", layout, steps=1)
    _, whole = run(REFERENCE, None, layout, steps=1)
    decoded = opt.state_dict(decoded=True)["state"]
    for key, own in whole.state_dict()["state"].items():
        for state in ("exp_avg", "exp_avg_sq"):
            largest = np.abs(own[state]).max(initial=0.0)
            far = np.abs(decoded[key][state] - own[state]).max(initial=0.0)
            assert far <= largest / 50


@pytest.mark.parametrize("own", OWN)
def test_a_state_dict_in_it(own):
    params, opt = run(REFERENCE, own)
    saved = opt.state_dict(), opt.state_dict(decoded=True)
    grads = [values("ordinary", shape, "float32", 90 + i) for i, shape in enumerate(SHAPES)]
    others = []
    for state_dict in saved:
        twins = [p.copy() for p in params]
        others.append((twins, gpuopt.Adam(twins, lr=0.5)))
        others[-1][1].load_state_dict(state_dict)
    for _, one in ((params, opt), *others):
        with gpuopt.use_backend(REFERENCE):
            one.step(grads)
    for other in others:
        assert_alike((params, opt), other)
    del gpuopt.FORMATS[own]
    with pytest.raises(ValueError, match=f"in the format '{own}'; known: .*register_format"):
        gpuopt.Adam([p.copy() for p in params]).load_state_dict(saved[0])


def shrinking(code, scale):
    return code * 0.0078125 * scale


def shifted(code, scale):
    return scale * np.divide(code + 1.0, 127.0)


def too_coarse(x, scale):
    return 100.0 * np.divide(x, scale)


def too_large(x, scale):
    return 200.0 * np.divide(x, scale)


def as_int(x, scale):
    return np.rint(x)


BAD = {
    "a taken name": (("softsign8", "int8", decode_linear, encode_linear), "registered already"),
    "no identifier": (("8 bits", "int8", decode_linear, encode_linear), "must be an identifier"),
    "other codes": (("own", "int16", decode_linear, encode_linear), "expected one of ('int8', "),
    "no function": (("own", "int8", None, encode_linear), "expected a Python function of 2"),
    "one argument": (("own", "int8", fourth_root, encode_linear), "function of 2 arguments"),
    "two arguments": (
        ("own", "int8", decode_linear, encode_linear, encode_linear),
        "of 1 argument",
    ),
    "not compiled": (("own", "int8", decode_linear, as_int), "rint"),
    "shrinks": (("own", "int8", shrinking, encode_linear), "to be the scale"),
    "not zero": (("own", "int8", shifted, encode_linear), "expected decode(0, 0) to be 0|scale"),
    "no inverse": (("own", "int8", decode_linear, too_coarse), "to be the"),
    "out of range": (("own", "int8", decode_linear, too_large), "a code of int8"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_one_is_refused(case):
    given, said = BAD[case]
    before = dict(gpuopt.FORMATS)
    pattern = "|".join(map(re.escape, said.split("|")))
    with pytest.raises(RuleError, match=pattern):
        gpuopt.register_format(*given)
    assert before == gpuopt.FORMATS
