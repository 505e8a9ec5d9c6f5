"""What LLVM compiled, as text: exact operations, several elements at a time."""

import platform
import re
from inspect import signature

import pytest
from gpuopt.kernels.trace.operations import trace

from gpuopt import RULES
from gpuopt.engine.compose import within
from gpuopt.engine.tail import Tail
from tests.helpers.scripts import run_script
from tests.helpers.stepping import ALL_STAGES, groups

compile = pytest.importorskip("gpuopt.kernels.llvm.compile")

only_x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64's instructions"
)
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


@only_x86
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_vectorized_without_contraction(rule):
    text = instructions(rule, ("float32",) * 3)
    assert_packed(text, rule, "s")
    assert not re.search(INEXACT, text)


@only_x86
@pytest.mark.parametrize("rule", ["adam", "amsgrad", "rmsprop_centered_momentum"])
def test_behind_every_stage(rule):
    text = instructions(rule, ("float32",) * 3, ALL_STAGES)
    assert_packed(text, rule, "s")
    assert not re.search(INEXACT, text)


@only_x86
@pytest.mark.parametrize("rule", ["adam", "rmsprop_centered_momentum"])
def test_in_float64(rule):
    text = instructions(rule, ("float64",) * 3)
    assert_packed(text, rule, "d")
    assert not re.search(INEXACT, text)


@only_x86
@pytest.mark.parametrize(
    "dtypes", [("bfloat16", "bfloat16", "float32"), ("bfloat16", "float32", "bfloat16")]
)
def test_bfloat16(dtypes):
    text = instructions("adam", dtypes)
    assert_packed(text, "adam", "s")
    assert not re.search(INEXACT, text)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_another_processor(dtype):
    """ARM's fused operations round once where NumPy rounds twice; float16 needs no library."""
    llvm = pytest.importorskip("llvmlite.binding")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    update, (_, _, *states) = coded("adam")
    module = llvm.parse_assembly(str(compile.module_of(update, (dtype, dtype, *states), "walk")))
    target = llvm.Target.from_triple("aarch64-linux-gnu")
    text = target.create_target_machine(opt=3).emit_assembly(module)
    assert re.search(r"\bfdiv\tv\d+\.4s", text) and re.search(r"\bfsqrt\tv\d+\.4s", text)
    assert not re.search(r"\bf(?:n?m(?:add|sub)|ml[as]|recp\w*|rsqrt\w*)\b", text)
    assert set(re.findall(r"\bbl\t(\w+)", text)) == {"units"}


@only_x86
def test_no_masked_load_converts():
    """They are slow on Zen 4: the norms of LARS took four times as long."""
    text = run_script(
        """\
        from gpuopt import RULES
        from gpuopt.engine import compose, tail
        from gpuopt.kernels.llvm.compile import assembly

        update = compose.within(RULES["lars"], tail.Tail())
        print(assembly(update.sums, ("float32",) * 3))
        """,
        GPUOPT_CPU="znver4",
    )
    assert "vcvtps2pd" in text
    assert not re.search(r"\bvcvtps2pd\t.*\(.*\{%k", text)


def coded(rule):
    """A rule with codes of 8 bits and statistics, and the dtypes of its lists."""
    update = within(RULES[rule], Tail(stats=True))
    stored = update.stored_states("float32", "8bit")
    update = update.for_states(stored)
    return update, ("float32", "float32", *update.dtypes_of_lists(stored))


def test_the_pattern_finds_what_it_looks_for():
    for name in ("vfmadd213ps", "vfnmsub231sd", "rsqrtps", "vrcpps", "vrsqrt14ps", "vrcp14ss"):
        assert re.search(INEXACT, f"\t{name}\t%ymm0, %ymm1"), name
    for name in ("vdivps", "vsqrtps", "vsubps", "vmulps", "vaddsubps"):
        assert not re.search(INEXACT, f"\t{name}\t%ymm0, %ymm1"), name
