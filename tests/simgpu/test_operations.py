"""Every instruction on hostile operands: the bits that NumPy, or Python's integers, give."""

import itertools
import random
from functools import cache

import numpy as np
import pytest

from . import build
from .operations import OPERATIONS
from .oracles import expected, typed
from .snippets import bits_of, compute, launch, module
from .translate import width

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

APPROXIMATE = "rcp.approx.ftz.f32"

FLOATS = {
    "f32": [0, 1, 0x7FFFFF, 0x800000, 0x33800000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x4B800001],
    "f64": [0, 1, 2**52 - 1, 2**52, 0x3CA << 52, (0x3FF << 52) - 1, 0x3FF << 52, (0x3FF << 52) + 1],
}
FLOATS["f32"] += [0x477FEFFF, 0x477FF000, 0x38D1B717, 0x7F7FFFFF, 0x7F800000, 0x7F800001]
FLOATS["f32"] += [0x7FC00000, 0x3F808000, 0x3F818000, 0x3F801000, 0x33000000, 0x33000001]
FLOATS["f64"] += [0x7FE << 52, (0x7FF << 52) - 1, 0x7FF << 52, (0x7FF << 52) + 1, 0x7FF8 << 48]
FLOATS["f64"] += [
    0x43E << 52,
    (0x43E << 52) - 1,
    0x36A << 52,
    0x47F << 52,
    0x433 << 52,
    0x4059 << 48,
]
"""Bits: zero, denormals, neighbours of one, ties of the narrower types, the ends, infinity, NaN."""

INTEGERS = [0, 1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 255, 256, 0x7FFF, 0x8000, 0x7FFFFFFF, 2**31]
INTEGERS += [2**53 + 1, 2**63 - 1, 2**63, -1, -2]


def special(kind):
    """Bits that are hard for a type."""
    if kind == "pred":
        return [0, 1]
    if kind in FLOATS:
        return [b | sign << (width(kind) - 1) for b in FLOATS[kind] for sign in (0, 1)]
    return sorted({i % 2 ** width(kind) for i in INTEGERS})


@cache
def operands(kinds):
    """Arrays of bits in which the special ones meet, with random ones behind them."""
    draw = random.Random(str(kinds))
    meetings = list(itertools.product(*map(special, kinds)))
    rows = draw.sample(meetings, min(len(meetings), 4000))
    rows += [[draw.getrandbits(1 if k == "pred" else width(k)) for k in kinds] for _ in range(500)]
    if kinds == ("b16",):
        rows = [[i] for i in range(2**16)]
    sizes = [width(bits_of(k)) // 8 for k in kinds]
    return [np.array(column, f"u{size}") for column, size in zip(zip(*rows), sizes)]


@cache
def computed(signature):
    """The results of all instructions that take and give the same types."""
    kinds = signature[1]
    return compute(
        [o for o, found in OPERATIONS.items() if found[:2] == signature], operands(kinds)
    )


def same(actual, wanted, kind):
    """Where bits agree, any NaN being as good as another."""
    agree = actual == wanted
    with np.errstate(invalid="ignore"):
        for float_kind in {kind} & {"f16", "bf16", "f32", "f64"}:
            agree |= np.isnan(typed(actual, float_kind)) & np.isnan(typed(wanted, float_kind))
    return agree


@pytest.mark.parametrize("opcode", sorted({*OPERATIONS} - {APPROXIMATE}))
def test_on_hostile_operands(opcode):
    result, kinds, _ = OPERATIONS[opcode]
    given = operands(kinds)
    actual = computed((result, kinds))[opcode]
    wanted = expected(opcode, given, kinds, result)
    floats = {"cvt.rn.f16.f32": "f16", "cvt.rn.bf16.f32": "bf16"}
    halves = {"f32x2": ("f32", np.uint32), "f16x2.f32": ("f16", "u2"), "bf16x2.f32": ("bf16", "u2")}
    kind = floats.get(opcode, result)
    for ending, (half, view) in halves.items():
        if opcode.endswith(f".{ending}"):
            kind, actual, wanted = half, actual.view(view), wanted.view(view)
    agree = same(actual, wanted, kind)
    if not agree.all():
        at = int(np.argmin(agree)) * len(given[0]) // len(agree)
        raise AssertionError(f"{opcode} of {[hex(int(g[at])) for g in given]}")


def test_an_approximate_reciprocal_is_one_unit_off_in_either_direction():
    given = operands(("f32",))
    with np.errstate(all="ignore"):
        nearest = np.float32(1) / given[0].view(np.float32)
    result = compute([APPROXIMATE], given)[APPROXIMATE]
    normal = np.isfinite(nearest) & (np.abs(nearest) >= np.finfo(np.float32).tiny)
    off = np.int32(result[normal]) - nearest[normal].view(np.int32)
    assert set(off.tolist()) == {-1, 1}
    small = np.abs(nearest) < np.finfo(np.float32).tiny
    assert small.any() and not np.any(result[small] & 0x7FFFFFFF)
    assert same(result[~normal & ~small], nearest[~normal & ~small].view("u4"), "f32").all()


def test_a_nan_is_the_canonical_one():
    bits = [np.full(3, 0xFFC12345, np.uint32), np.zeros(3, np.uint32)]
    add = compute(["add.rn.f32"], bits)["add.rn.f32"]
    half = compute(["cvt.rn.bf16.f32"], bits[:1])["cvt.rn.bf16.f32"]
    assert set(add.tolist()) == {0x7FFFFFFF} and set(half.tolist()) == {0x7FFF}


def test_a_fused_sum_is_rounded_once():
    """1 - 2**-46, and 2**24 + 2: a sum in float64 would lie in the middle of two float32."""
    bits = [np.array([b], np.uint32) for b in (0x3F7FFFFE, 0x3F800001, 0x4B800001)]
    assert compute(["fma.rn.f32"], bits)["fma.rn.f32"].tolist() == [0x4B800001]
    assert expected("fma.rn.f32", bits, ("f32",) * 3, "f32").tolist() == [0x4B800001]


# --- what is written otherwise -------------------------------------------------------------------


def run(body, *arrays, **options):
    names = [f"p{i}" for i in range(len(arrays))]
    addresses = [f"ld.param.u64 %rd{i}, [p{i}];" for i in range(len(arrays))]
    launch(module([*addresses, *body], names), arrays, **options)


@pytest.mark.parametrize("opcode", ["max.f32", "min.f32", "max.NaN.f32", "min.NaN.f32"])
def test_extremes_of_three(opcode):
    given = operands(("f32",) * 3)
    first = expected(opcode, given[:2], ("f32",) * 2, "f32")
    wanted = expected(opcode, [first, given[2]], ("f32",) * 2, "f32")
    n, body = len(wanted), ["mov.u32 %r9, %ctaid.x;", "mul.wide.u32 %rd9, %r9, 4;"]
    found = np.zeros(n, np.uint32)
    body += [f"add.s64 %rd{i}, %rd{i}, %rd9;" for i in range(4)]
    body += [f"ld.global.b32 %r{i}, [%rd{i}];" for i in range(3)]
    body += [f"{opcode} %r3, %r0, %r1, %r2;", "st.global.b32 [%rd3], %r3;"]
    run(body, *given, found, blocks=n)
    assert same(found, wanted, "f32").all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("compares", ["lt", "equ", "num", "nan"])
def test_comparisons_of_pairs(compares, kind):
    given = operands(("b16",) * 4)
    low, high = (
        expected(f"setp.{compares}.{kind}", given[i : i + 2], ("b16",) * 2, "pred") for i in (0, 2)
    )
    pairs = [given[i].astype(np.uint32) | given[i + 2].astype(np.uint32) << 16 for i in (0, 1)]
    found = np.zeros(len(low), np.uint32)
    body = ["mov.u32 %r9, %ctaid.x;", "mul.wide.u32 %rd9, %r9, 4;"]
    body += [f"add.s64 %rd{i}, %rd{i}, %rd9;" for i in range(3)]
    body += [f"ld.global.b32 %r{i}, [%rd{i}];" for i in range(2)]
    body += [
        f"setp.{compares}.{kind}x2 %p1|%p2, %r0, %r1;",
        "selp.b32 %r2, 1, 0, %p1;",
        "selp.b32 %r3, 2, 0, %p2;",
        "or.b32 %r2, %r2, %r3;",
        "st.global.b32 [%rd2], %r2;",
    ]
    run(body, *pairs, found, blocks=len(found))
    assert found.tolist() == (low | high << 1).tolist()


def test_moves_of_parts():
    found = np.zeros(4, np.uint64)
    body = [
        "mov.b64 %rd9, 0x1122334455667788;",
        "mov.b64 {%r1, %r2}, %rd9;",
        "mov.b64 %rd8, {%r2, %r1};",
        "mov.b64 {_, %r3}, %rd8;",
        "mov.b32 {%rs1, %rs2}, %r1;",
        "mov.b32 %r4, {%rs2, %rs1};",
        "st.global.b64 [%rd0], %rd8;",
        "st.global.b32 [%rd0+8], %r3;",
        "st.global.b32 [%rd0+16], %r4;",
    ]
    run(body, found)
    assert [hex(x) for x in found.tolist()] == [
        "0x5566778811223344",
        "0x55667788",
        "0x77885566",
        "0x0",
    ]


@pytest.mark.parametrize("lanes", [2, 4])
def test_vectors(lanes):
    given, found = np.arange(1, 5, dtype=np.uint32), np.zeros(4, np.uint32)
    names = [f"%r{i}" for i in range(lanes)]
    body = [
        f"ld.global.v{lanes}.b32 {{{', '.join(names)}}}, [%rd0];",
        f"st.global.v{lanes}.b32 [%rd1], {{{', '.join(names[::-1])}}};",
    ]
    run(body, given, found)
    assert found.tolist() == [*range(lanes, 0, -1), *[0] * (4 - lanes)]


def test_a_narrow_load_fills_a_wide_register_and_a_narrow_store_takes_its_low_bits():
    given, found = np.array([0xFFFE] * 4, np.uint16), np.zeros(4, np.uint64)
    body = ["ld.global.u16 %r1, [%rd0];", "st.global.b32 [%rd1], %r1;"]
    body += ["ld.global.s16 %r2, [%rd0+2];", "st.global.b32 [%rd1+8], %r2;"]
    body += ["st.global.u16 [%rd1+16], %r2;"]
    run(body, given, found)
    assert found.tolist() == [0xFFFE, 0xFFFFFFFE, 0xFFFE, 0]


def test_guards_jumps_and_special_registers():
    found = np.zeros(12, np.uint32)
    body = [
        "mov.u32 %r1, %tid.x;",
        "mov.u32 %r2, %ctaid.x;",
        "mov.u32 %r3, %ntid.x;",
        "mov.u32 %r4, %nctaid.x;",
        "mad.lo.s32 %r5, %r2, %r3, %r1;",
        "mad.wide.u32 %rd1, %r5, 4, %rd0;",
        "setp.eq.u32 %p1, %r1, 1;",
        "mov.b32 %r6, 0;",
        "@%p1 mov.b32 %r6, 100;",
        "$L_again:",
        "add.s32 %r6, %r6, 1;",
        "setp.lt.u32 %p2, %r6, %r4;",
        "@%p2 bra $L_again;",
        "@!%p1 bra.uni $L_done;",
        "add.s32 %r6, %r6, 1000;",
        "$L_done:",
        "st.global.u32 [%rd1], %r6;",
    ]
    text = module(["ld.param.u64 %rd0, [p0];", *body], ["p0"], threads=3)
    launch(text, [found], blocks=4, threads=3)
    assert found.tolist() == [4, 1101, 4] * 4


# --- what is not known ---------------------------------------------------------------------------

UNKNOWN = {
    "add.f32 %r1, %r2, %r3;": "add.f32 is not known",
    "mul.rz.f32 %r1, %r2, %r3;": "mul.rz.f32 is not known",
    "ld.local.b32 %r1, [%rd0];": "ld.local.b32 is not known",
    "ld.global.u4 %r1, [%rd0];": "ld.global.u4 is not known",
    "st.global.f16 [%rd0], %rs1;": "st.global.f16 is not known",
    "ld.shared.b128 %rd1, [%r1];": "ld.shared.b128 is not known",
    "ld.global.v8.b32 {%r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8}, [%rd0];": "is not known",
    "bar.sync 1;": "bar.sync knows the barrier 0 of the whole block",
    "vote.sync.any.pred %p1, %p2, -1;": "vote.sync.any.pred is not known",
    "mov.u32 %r1, %clock;": "mov.u32 takes %clock for a value of type u32",
    "add.s32 %r1, %r2;": "add.s32 takes 2 operands",
    "add.s64 %rd1, %r2, %rd3;": "add.s64 takes %r2 for a value of type s64",
    "add.s64 %r1, %rd2, %rd3;": "add.s64 writes a value of type s64 to %r1",
    "add.rn.f32 %r1, %r2, 0d3FF0000000000000;": "takes 0d3FF0000000000000 for a value of type f32",
    "ld.global.v4.b32 {%r1, %r2}, [%rd0];": "ld.global.v4.b32 has 2 elements",
    "ld.global.b32 %r1, [%rd0+%r2];": "has an address that is not known",
    "ld.param.u32 %r1, [p0];": "ld.param.u32 reads no whole parameter",
    "{ .reg .b32 %t; }": "this is not known",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_not_known_is_said_with_its_line(text):
    what = module(["ld.param.u64 %rd0, [p0];", text], ["p0"])
    line = 1 + what.splitlines().index(f"    {text}")
    with pytest.raises(ValueError, match=f"PTX line {line}: .*") as caught:
        launch(what, [np.zeros(4)])
    assert UNKNOWN[text] in str(caught.value)


def test_other_threads_than_the_ptx_says():
    with pytest.raises(ValueError, match="one: 3 threads, where its PTX says 2"):
        launch(module([], ["p0"], threads=2), [np.zeros(4)], threads=3)


def test_other_parameters():
    with pytest.raises(ValueError, match=r"one: its parameters have \[8\] bytes"):
        launch(module([], ["p0"]), [np.zeros(4), np.zeros(4)])
