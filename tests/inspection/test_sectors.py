"""How many sectors of memory a warp touches, from PTX."""

import pytest

from gpuopt.inspection import ptx
from gpuopt.inspection.sectors import UNKNOWN, Touched, touched

from .snippets import PTX


def loads(body, width="f32", threads=64, guard=""):
    """The load of ``[%rd9]``, whose address a body computes."""
    text = f"""
    .visible .entry one(.param .u64 one_param_0, .param .u32 one_param_1)
    {{
        ld.param.b64 %rd1, [one_param_0];
        ld.param.b32 %r1, [one_param_1];
        mov.u32 %r2, %tid.x;
        {body}
        {guard} ld.global.{width} %f1, [%rd9+64];
        ret;
    }}
    """
    return touched(ptx.parse(text), threads)


def sectors(body, width="f32", threads=64):
    """The sectors that the load touches."""
    return [one.sectors for one in loads(body, width, threads)]


def test_the_snippet():
    assert touched(ptx.parse(PTX), 128) == (
        Touched(store=False, masked=False, width=16, sectors=16, floor=16, moved=16),
        Touched(store=False, masked=True, width=4, sectors=16, floor=4, moved=4),
        Touched(store=True, masked=False, width=16, sectors=16, floor=16, moved=16),
        Touched(store=True, masked=True, width=4, sectors=16, floor=4, moved=4),
    )


@pytest.mark.parametrize(
    ("width", "stride", "expected"),
    [
        ("v4.f32", 16, 16),
        ("v4.f32", 32, 32),
        ("v2.b32", 8, 8),
        ("v2.b32", 16, 16),
        ("v2.b64", 64, 32),
        ("f32", 4, 4),
        ("f32", 16, 16),
        ("b16", 2, 2),
        ("f64", 8, 8),
        ("f64", 24, 24),
    ],
)
def test_neighbours_that_are_apart(width, stride, expected):
    body = f"mul.wide.u32 %rd2, %r2, {stride}; add.s64 %rd9, %rd1, %rd2;"
    assert sectors(body, width) == [expected]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("shl.b32 %r3, %r2, 2; and.b32 %r4, %r3, 508; mul.wide.u32 %rd2, %r4, 4;", 16),
        ("mad.lo.s32 %r3, %r2, 4, %r1; mul.wide.s32 %rd2, %r3, 1;", 4),
        ("shl.b32 %r3, %r2, 2; or.b32 %r4, %r1, %r3; cvt.u64.u32 %rd2, %r4;", 4),
        ("shl.b32 %r3, %r2, 2; sub.s32 %r4, %r1, %r3; cvt.s64.s32 %rd2, %r4;", 4),
        ("shr.u32 %r3, %r2, 1; mul.wide.u32 %rd2, %r3, 8;", 4),
        ("xor.b32 %r3, %r2, 31; mul.wide.u32 %rd2, %r3, 4;", 4),
        ("ld.global.b64 %rd3, [%rd1]; mad.wide.u32 %rd2, %r2, 4, %rd3;", 4),
        ("add.s32 %r3, %r2, %r1; and.b32 %r4, %r3, 3; cvt.u64.u32 %rd2, %r4;", UNKNOWN),
        ("mul.lo.s32 %r3, %r2, %r1; cvt.u64.u32 %rd2, %r3;", UNKNOWN),
        ("cvt.rn.f32.u32 %f2, %r2; mov.b32 %r3, %f2; cvt.u64.u32 %rd2, %r3;", UNKNOWN),
        ("selp.b32 %r3, %r2, 0, %p1; cvt.u64.u32 %rd2, %r3;", UNKNOWN),
    ],
)
def test_addresses_are_followed_through_integers(address, expected):
    body = f"setp.gt.u32 %p1, %r2, 5; {address} add.s64 %rd9, %rd1, %rd2;"
    assert sectors(body) == [expected]


def test_an_address_from_memory_that_differs_between_threads_is_not_known():
    body = "mul.wide.u32 %rd2, %r2, 8; add.s64 %rd3, %rd1, %rd2; ld.global.b64 %rd9, [%rd3];"
    assert sorted(sectors(body)) == [UNKNOWN, 8]


def test_one_address_of_all_threads_is_no_element():
    assert sectors("add.s64 %rd9, %rd1, 8;") == []


@pytest.mark.parametrize(("step", "expected"), [(2048, [4]), ("%rd2", [UNKNOWN])])
def test_a_pointer_that_a_loop_moves(step, expected):
    body = f"""
        mul.wide.u32 %rd2, %r2, 4;
        add.s64 %rd9, %rd1, %rd2;
    $L1:
        add.s64 %rd9, %rd9, {step};
        setp.lt.u64 %p1, %rd9, 512;
        @%p1 bra $L1;
    """
    assert sectors(body) == expected


def test_a_register_that_is_used_again():
    body = """
        mov.b32 %r3, 0;
        mov.b32 %r4, %r3;
    $L1:
        add.s32 %r5, %r4, %r2;
        mul.wide.u32 %rd2, %r5, 4;
        add.s64 %rd9, %rd1, %rd2;
        add.s32 %r4, %r4, 512;
        mul.lo.s32 %r3, %r3, %r2;
        setp.lt.u32 %p1, %r4, 8192;
        @%p1 bra $L1;
    """
    assert sectors(body) == [4]


@pytest.mark.parametrize(("part", "expected"), [("{%r5, %r6}", 8), ("{_, %r5}", 4)])
def test_packed_integers(part, expected):
    body = f"""
        shl.b32 %r3, %r2, 1;
        mov.b64 %rd3, {{%r3, %r2}};
        mov.b64 {part}, %rd3;
        mul.wide.u32 %rd2, %r5, 4;
        add.s64 %rd9, %rd1, %rd2;
    """
    assert sectors(body) == [expected]


def test_a_move_that_only_some_threads_make():
    body = "mul.wide.u32 %rd2, %r2, 4; add.s64 %rd9, %rd1, %rd2; setp.gt.u32 %p1, %r2, 5;"
    assert sectors(f"{body} @%p1 mov.b64 %rd9, %rd1;") == [UNKNOWN]


def test_the_worst_warp_counts():
    body = "and.b32 %r3, %r2, 32; add.s32 %r4, %r3, 1; "
    body += "mul.lo.s32 %r5, %r2, %r4; mul.wide.u32 %rd2, %r5, 4; add.s64 %rd9, %rd1, %rd2;"
    assert sectors(body) == [32]
    assert sectors(body, threads=32) == [4]


# --- numbers that threads share: the scales of blocks ---------------------------------------------

SCALES = "shr.u32 %r3, %r2, 3; mul.wide.u32 %rd2, %r3, {apart}; add.s64 %rd9, %rd1, %rd2;"
"""Eight threads have the elements of a block."""


def test_a_number_of_eight_threads_moves_once():
    (scale,) = loads(SCALES.format(apart=4))
    assert (scale.sectors, scale.floor, scale.moved, scale.common) == (1, 1, 0.5, False)


def test_numbers_that_are_apart_touch_more_sectors_than_hold_them():
    (scale,) = loads(SCALES.format(apart=32))
    assert (scale.sectors, scale.floor, scale.moved) == (4, 1, 0.5)


def test_addresses_that_are_not_known_move_what_threads_ask_for():
    (one,) = loads("mul.lo.s32 %r3, %r2, %r1; cvt.u64.u32 %rd9, %r3;")
    assert (one.sectors, one.floor, one.moved) == (UNKNOWN, 4, 4)


IN_A_LOOP = """
    shl.b32 %r4, %r2, 2;
$L1:
    {divided}
    mul.wide.u32 %rd2, %r5, 4;
    add.s64 %rd9, %rd1, %rd2;
    add.s32 %r4, %r4, {step};
    setp.lt.u32 %p1, %r4, 8192;
    @%p1 bra $L1;
"""
"""A counter of elements, made one of blocks."""


@pytest.mark.parametrize(
    ("divided", "step", "expected"),
    [
        ("shr.u32 %r5, %r4, 5;", 1024, (1, 0.5)),
        ("shr.u32 %r5, %r4, 5;", 32, (1, 0.5)),
        ("shr.u32 %r5, %r4, 5;", 16, (UNKNOWN, 4)),  # a warp begins in the middle of a block
        ("and.b32 %r5, %r4, 31;", 1024, (4, 1)),
        ("and.b32 %r5, %r4, 31;", 16, (UNKNOWN, 4)),
        ("and.b32 %r5, %r4, -32;", 1024, (4, 0.5)),
        ("and.b32 %r5, %r4, 4294967264;", 1024, (4, 0.5)),
        ("and.b32 %r5, %r4, -32;", 16, (UNKNOWN, 4)),
        ("and.b32 %r5, %r4, 40;", 16, (UNKNOWN, 4)),
    ],
)
def test_what_threads_have_in_common_may_be_divided(divided, step, expected):
    (one,) = loads(IN_A_LOOP.format(divided=divided, step=step))
    assert (one.sectors, one.moved) == expected


def test_bits_of_a_thread():
    body = "bfe.u32 %r3, %r2, 3, 2; mul.wide.u32 %rd2, %r3, 4; add.s64 %rd9, %rd1, %rd2;"
    assert [(one.sectors, one.moved) for one in loads(body)] == [(1, 0.5)]


def test_the_high_half_of_a_product_is_not_known():
    body = "mul.hi.u32 %r3, %r2, 16; cvt.u64.u32 %rd2, %r3; add.s64 %rd9, %rd1, %rd2;"
    assert sectors(body) == [UNKNOWN]


@pytest.mark.parametrize(
    ("condition", "guard", "expected"),
    [
        ("setp.lt.u32 %p1, %r2, 16;", "@%p1", (2, 2, 1)),  # half of the first of two warps
        ("setp.lt.u32 %p1, %r2, 16;", "@!%p1", (4, 4, 3)),
        ("setp.gt.u32 %p1, %r2, 99;", "@%p1", (0, 0, 0)),
    ],
)
def test_threads_that_are_known_to_do_nothing_move_nothing(condition, guard, expected):
    body = f"{condition} mul.wide.u32 %rd2, %r2, 4; add.s64 %rd9, %rd1, %rd2;"
    (one,) = loads(body, guard=guard)
    assert not one.masked
    assert (one.sectors, one.floor, one.moved) == expected


def test_a_guard_that_depends_on_more_masks():
    body = "setp.lt.u32 %p1, %r2, %r1; mul.wide.u32 %rd2, %r2, 4; add.s64 %rd9, %rd1, %rd2;"
    (one,) = loads(body, guard="@%p1")
    assert (one.masked, one.sectors, one.moved) == (True, 4, 4)
