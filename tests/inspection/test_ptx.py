import pytest

from gpuopt.inspection import flow, ptx
from gpuopt.inspection.flow import Access

from .snippets import PTX


def test_entry_parameters_and_threads():
    entry = ptx.parse(PTX)
    assert (entry.name, entry.parameters, entry.threads) == ("add_one", ("u64", "u32"), 128)


def test_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no entry"):
        ptx.parse(".version 8.8")


def test_accesses_of_each_block():
    found = [one for block in ptx.parse(PTX).blocks for one in ptx.accesses(block)]
    assert found == [
        Access(store=False, guarded=False, width=8),
        Access(store=False, guarded=False, width=16),
        Access(store=True, guarded=False, width=16),
        Access(store=False, guarded=True, width=4),
        Access(store=True, guarded=True, width=4),
    ]


@pytest.mark.parametrize(
    ("opcode", "width"),
    [
        ("ld.global.b16", 2),
        ("ld.global.v2.b64", 16),
        ("ld.global.L1::evict_first.v8.b32", 32),
        ("st.global.f64", 8),
    ],
)
def test_width_of_an_access(opcode, width):
    block = flow.Block("", (flow.Instruction("", opcode, "..."),))
    assert [one.width for one in ptx.accesses(block)] == [width]


def test_shared_memory_is_no_global_access():
    assert ptx.accesses(flow.Block("", (flow.Instruction("", "ld.shared.b32", ""),))) == []


EXACT = """
    add.rn.f32 sub.rn.f64 mul.rn.f32x2 div.rn.f32 sqrt.rn.f64 rcp.rn.f32 sub.rn.f32.bf16
    max.NaN.f32 min.f64 abs.f32 neg.f64 selp.f32 setp.lt.f32 mov.f32 ld.global.v4.f32
    cvt.f32.bf16 cvt.f64.f32 cvt.rn.bf16x2.f32 cvt.rn.f32.f64 cvt.rzi.s64.f64 cvt.rn.f64.s64
    add.s64 mad.lo.s32 shl.b32 bra ret ld.param.b64 redux.sync.max.f32
"""

INEXACT = """
    fma.rn.f32 fma.rn.f64 mad.f32 add.f32 mul.f32 div.full.f32 div.approx.f32 sqrt.approx.f32
    add.rn.ftz.f32 mul.rz.f32 setp.lt.ftz.f32 max.ftz.f32 ex2.approx.f32 rsqrt.approx.f64
    rcp.approx.ftz.f32 cvt.rz.bf16.f32 cvt.rna.tf32.f32 add.rn.sat.f32 tanh.approx.f32
    sin.approx.f32 call.uni lg2.approx.ftz.f32 mma.sync.aligned.m16n8k8.row.col.f32.f32
"""


@pytest.mark.parametrize("opcode", EXACT.split())
def test_exactly_rounded(opcode):
    assert ptx.inexact([flow.Instruction("", opcode, "")]) == []


@pytest.mark.parametrize("opcode", INEXACT.split())
def test_not_exactly_rounded(opcode):
    assert ptx.inexact([flow.Instruction("", opcode, "")] * 2) == [opcode]


# --- rounds of the loop ---------------------------------------------------------------------


def rounds(text):
    blocks = ptx.parse(text).blocks
    graph = flow.graph_of(blocks)
    (store,) = [
        index
        for index, block in enumerate(blocks)
        if any(one.store and not one.guarded for one in ptx.accesses(block))
    ]
    return ptx.iterations(blocks, graph, flow.main_path(graph, [store], []).loop)


@pytest.mark.parametrize(
    ("start", "step", "end", "expected"), [(-512, 512, 512, 2), (0, 512, 512, 1), (0, 8, 4096, 512)]
)
def test_rounds_of_the_loop(start, step, end, expected):
    text = PTX.replace("-512;", f"{start};").replace("%r3, 512;", f"%r3, {step};", 1)
    text = text.replace("%p2, %r3, 512;", f"%p2, %r3, {end};")
    assert rounds(text) == expected


def test_a_counter_that_runs_down():
    text = PTX.replace("%r3, -512;", "%r3, 4;")
    text = text.replace("add.s32     %r3, %r3, 512", "sub.s32 %r3, %r3, 1")
    assert rounds(text.replace("setp.lt.u32     %p2, %r3, 512", "setp.ne.s32 %p2, %r3, 0")) == 4


def test_rounds_that_depend_on_an_argument_are_refused():
    with pytest.raises(ValueError, match="not known at compile time"):
        rounds(PTX.replace("%p2, %r3, 512;", "%p2, %r3, %r1;"))


def test_rounds_that_depend_on_memory_are_refused():
    with pytest.raises(ValueError, match="not known at compile time"):
        rounds(PTX.replace("add.s32     %r3, %r3, 512;", "ld.global.b32 { %r3 }, [ %rd4 + 8 ];"))


def test_a_loop_without_end_is_refused():
    with pytest.raises(ValueError, match="seem to end"):
        rounds(PTX.replace("-512;", "0;").replace("%r3, %r3, 512;", "%r3, %r3, 0;"))
