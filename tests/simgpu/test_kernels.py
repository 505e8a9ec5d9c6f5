"""The kernels of both compilers: their bits, each byte once, in any order; and spoilt ones."""

import re

import numpy as np
import pytest
from gpuopt.kernels.cuda.source import CHUNK

from gpuopt import RULES
from gpuopt.inspection.cases import Case, passes_of

from . import build
from .run import Fault
from .walks import SIZES, ptx_of, replaced, walk_of

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

MIXES = [
    ("bfloat16", "bfloat16", "float32"),
    ("float16", "float32", "bfloat16"),
    ("float64", "float16", "float64"),
    ("float64",) * 3,
]


def check(case, text="", reverse=False):
    """Fail unless the bits are the rule's, and each byte was moved once."""
    for kind in ("mixed", "ordinary"):
        walk = walk_of(case, SIZES, text, reverse, rest=True, kind=kind)
        walk.check()
        walk.check_counts(case.floor)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_moves_each_byte_once(backend, rule):
    check(Case(backend, "update", rule, "plain", ("float32",) * 3, 90))


@pytest.mark.parametrize("arch", [80, 100])
@pytest.mark.parametrize("mix", MIXES, ids="-".join)
def test_every_width_moves_each_byte_once(backend, mix, arch):
    check(Case(backend, "update", "amsgrad", "scale_decay", mix, arch))


PASSES = [
    pytest.param(rule, variant, dtypes, id=f"{rule}-{variant}-{dtypes[0]}")
    for rule in ("adamw_schedule_free", "sophiag")
    for variant, own in passes_of(RULES[rule]).items()
    for dtypes in [("float32",) * 3, *MIXES[:2]]
    if dtypes[0] != "float32" or not own.tail.narrow
]


@pytest.mark.parametrize("rule, variant, dtypes", PASSES)
def test_every_pass_moves_each_byte_once(backend, rule, variant, dtypes):
    """And none of the lists that it leaves alone."""
    check(Case(backend, "update", rule, variant, dtypes, 90))


def test_misaligned_tensors_move_each_byte_once(backend):
    check(Case(backend, "update", "adam", "misaligned", ("float32", "bfloat16", "float32"), 90))


@pytest.mark.parametrize("mix", [("float32",) * 3, MIXES[0]], ids="-".join)
def test_the_order_of_blocks_and_threads_does_not_matter(backend, mix):
    check(Case(backend, "update", "adam", "plain", mix, 90), reverse=True)


# --- spoilt kernels: each must be noticed --------------------------------------------------------


def contracted(text):
    """Make one multiplication and the addition of its product a fused one."""
    products = dict(re.findall(r"mul\.rn\.f32\s+(%\w+), (%\w+, %\w+);", text))
    for found in re.finditer(r"add\.rn\.f32\s+(%\w+), (%\w+), (%\w+);", text):
        result, a, b = found.groups()
        if a in products:
            fused = f"fma.rn.f32 {result}, {products[a]}, {b};"
            return text[: found.start()] + fused + text[found.end() :]
    raise AssertionError("no product is added to anything")


SPOILT = {
    "a mask that lets one more in": {
        "triton": replaced(r"setp\.gt\.u64", "setp.ge.u64", 0),
        "cupy": replaced(r"setp\.ge\.s32", "setp.gt.s32", 0),
    },
    "a store without its guard": {
        "triton": replaced(r"@%p\d+ (st\.global)", r"\1"),
        "cupy": replaced(r"@%p\d+ bra[^;]*;(\s+add\.s64[^;]*;\s+st\.)", r"\1"),
    },
    "a load without its guard": {
        "triton": replaced(r"@%p\d+ (ld\.global)", r"\1"),
        "cupy": replaced(r"@%p\d+ bra[^;]*;(\s+add\.s64[^;]*;\s+ld\.)", r"\1"),
    },
    "a whole chunk one element early": {
        "triton": replaced(r"(setp\.gt\.s64[^;]*), 8191;", r"\1, 8190;"),
        "cupy": replaced(r"(setp\.lt\.s64[^;]*), 8192;", r"\1, 8191;"),
    },
    "a chunk of one element less": replaced(r"(mul\.wide\.s32[^;]*), 8192;", r"\1, 8191;"),
    "a round too few": {
        "triton": replaced(r"(setp\.lt\.u64[^;]*), 7168;", r"\1, 6144;", 0),
        "cupy": replaced(r"(setp\.lt\.u32[^;]*), 8192;", r"\1, 7168;", 0),
    },
    "a tensor that does not rest": {
        "triton": replaced(r"(setp\.(?:eq|ne)\.[bs]64\s+%p\d+, %rd\d+), 0;", r"\1, 1;"),
        "cupy": replaced(r"@!?%p1 bra[^;]*;", ""),
    },
    "swapped operands of a subtraction": replaced(
        r"(sub\.rn\.f32\s+%\w+), (%\w+), (%\w+);", r"\1, \3, \2;"
    ),
    "swapped operands of a division": replaced(
        r"(div\.rn\.f32\s+%\w+), (%\w+), (%\w+);", r"\1, \3, \2;"
    ),
    "a contracted multiplication and addition": contracted,
    "elements of a vector in another order": replaced(
        r"(st\.global\.v4\.\w+\s+\[[^]]*\]), \{\s*(%\w+), (%\w+),", r"\1, {\3, \2,"
    ),
    "a vector beside its alignment": replaced(
        r"(st\.global\.v4\.\w+\s+\[\s*%\w+)[^]]*\]", r"\1+4]"
    ),
    "a vector stored twice": replaced(r"(st\.global\.v4[^;]*;)", r"\1 \1"),
    "a vector not stored": replaced(r"st\.global\.v4[^;]*;", ""),
    "a vector loaded twice": replaced(r"(ld\.global\.v4[^;]*;)", r"\1 \1"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_kernel_is_noticed(backend, how):
    case = Case(backend, "update", "adam", "plain", ("float32",) * 3, 90)
    spoil = SPOILT[how][backend] if isinstance(SPOILT[how], dict) else SPOILT[how]
    text = spoil(ptx_of(case))
    assert text != ptx_of(case)
    with pytest.raises((AssertionError, Fault)) as caught:
        check(case, text)
    assert "PTX" in str(caught.value) or "element" in str(caught.value), caught.value


def test_a_gradient_is_only_read(backend):
    case = Case(backend, "update", "adam", "plain", ("float32",) * 3, 90)
    walk = walk_of(case, [CHUNK])
    walk.arrays[0][0], walk.arrays[0][1] = walk.arrays[0][1], walk.arrays[0][0]
    walk.run()
    (regions,) = walk.regions
    assert regions[0].stores.all() and not regions[1].stores.any()
    assert np.array_equal(regions[1].loads, np.ones(4 * CHUNK))
