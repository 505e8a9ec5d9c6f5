"""What LLVM compiled, as text: exact operations, several elements at a time."""

import platform
import re
from inspect import signature

import pytest
from gpuopt.kernels.trace.operations import trace

from gpuopt import RULES
from tests.helpers.stepping import ALL_STAGES, groups

compile = pytest.importorskip("gpuopt.kernels.llvm.compile")

if platform.machine().lower() not in ("x86_64", "amd64"):
    pytest.skip("reads the instructions of x86-64", allow_module_level=True)

INEXACT = r"\bv?(?:fn?m(?:add|sub)\w*|r(?:sqrt|cp)\d*[ps][sd])\b"


def instructions(rule, dtypes, *changes):
    """The assembly text of the kernel for one rule: parameter, gradient and state types."""
    update = groups(rule, *changes)[0].update
    param, grad, state = dtypes
    return compile.assembly(update, (param, grad, *[state] * len(update.rule.states)))


def operations(rule):
    update = RULES[rule].update
    return {o.name for o in trace(update, tuple(signature(update).parameters)).operations}


def assert_packed(text, rule, letter):
    for name, instruction in (("divide", "div"), ("sqrt", "sqrt"), ("*", "mul"), ("-", "sub")):
        if name in operations(rule):
            assert re.search(rf"\bv?{instruction}p{letter}\b", text), f"no packed {name}"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_vectorized_without_contraction(rule):
    text = instructions(rule, ("float32",) * 3)
    assert_packed(text, rule, "s")
    assert not re.search(INEXACT, text)


@pytest.mark.parametrize("rule", ["adam", "amsgrad", "rmsprop_centered_momentum"])
def test_behind_every_stage(rule):
    text = instructions(rule, ("float32",) * 3, ALL_STAGES)
    assert_packed(text, rule, "s")
    assert not re.search(INEXACT, text)


@pytest.mark.parametrize("rule", ["adam", "rmsprop_centered_momentum"])
def test_in_float64(rule):
    text = instructions(rule, ("float64",) * 3)
    assert_packed(text, rule, "d")
    assert not re.search(INEXACT, text)


@pytest.mark.parametrize(
    "dtypes", [("bfloat16", "bfloat16", "float32"), ("bfloat16", "float32", "bfloat16")]
)
def test_bfloat16(dtypes):
    text = instructions("adam", dtypes)
    assert_packed(text, "adam", "s")
    assert not re.search(INEXACT, text)


def test_the_pattern_finds_what_it_looks_for():
    for name in ("vfmadd213ps", "vfnmsub231sd", "rsqrtps", "vrcpps", "vrsqrt14ps", "vrcp14ss"):
        assert re.search(INEXACT, f"\t{name}\t%ymm0, %ymm1"), name
    for name in ("vdivps", "vsqrtps", "vsubps", "vmulps", "vaddsubps"):
        assert not re.search(INEXACT, f"\t{name}\t%ymm0, %ymm1"), name
