from dataclasses import replace

import pytest
from gpuopt.kernels.cuda import source as cuda_c

from gpuopt.inspection import flow, ptx, sass
from gpuopt.inspection.code import usage_of
from gpuopt.inspection.facts import Facts, facts_of, read_main
from gpuopt.inspection.sectors import by_block

from .snippets import PTX, SASS, USAGE


def main_of(ptx_text=PTX, sass_text=SASS):
    """The main path of the snippet: 1,024 elements, 8 for each of 128 threads."""
    entry = ptx.parse(ptx_text)
    return read_main(entry, sass.parse(sass_text), 8, by_block(entry, 128))


def test_the_snippet():
    main, unknown = main_of()
    assert (main.loaded, main.stored, main.asked) == (4, 4, 8)
    assert main.widths == {16: 8}
    # Two rounds of ten instructions (the subroutine's three are not on the path), and one more.
    assert main.instructions == (2 * 10 + 1) / 8
    assert main.setup == 4
    assert main.pipes == {"fp32": 2 * 3 / 8, "special": 2 / 8}
    assert main.in_flight == 16
    assert unknown == set()


def test_a_loop_that_the_assembler_unrolled():
    loop = SASS[SASS.index(".L_x_0:") : SASS.index("UIADD3")]
    body = loop.partition("\n")[2].rpartition("\n")[0]
    again = body.replace(".L_x_1", ".L_x_8").replace(".L_x_2", ".L_x_9")
    unrolled = SASS.replace(body, f"{body}\n{again}")
    main, _ = main_of(sass_text=unrolled)
    assert main.widths == {16: 8}
    assert main.instructions == (8 + 8 + 2 + 1) / 8


def test_a_load_that_the_assembler_lost_is_noticed():
    lost = SASS.replace("LDG.E.128 R12", "LDG.E.64 R12", 1)
    with pytest.raises(ValueError, match=r"PTX moves 64 bytes per thread, SASS 0 [+] 24"):
        main_of(sass_text=lost)


def test_what_threads_share_moves_once_and_has_no_width():
    """Each thread loads its scale in the loop, beside its four elements."""
    place, load = "add.s64     %rd4, %rd2, %rd3;", "LDG.E.128 R12, desc[UR4][R2.64] ;"
    scale = "shr.u32 %r18, %r2, 3; mul.wide.u32 %rd7, %r18, 4;"
    shared = PTX.replace(place, f"{place} {scale}")
    shared = shared.replace("ld.global.v4", "ld.global.b32 %r19, [%rd7]; ld.global.v4")
    main, _ = main_of(shared, SASS.replace(load, f"{load}\n /*0051*/ LDG.E R9, [R7.64] ;"))
    assert (main.loaded, main.stored, main.asked) == (4 + 4 / 32, 4, 9)
    assert main.widths == {16: 8}
    halves = "\n".join(["/*0051*/ LDG.E.U16 R9, [R7.64] ;"] * 2)
    with pytest.raises(ValueError, match="not there in SASS"):
        main_of(shared, SASS.replace(load, f"{load}\n{halves}"))


def test_a_special_function_that_no_root_asks_for_is_noticed():
    _, unknown = main_of(sass_text=SASS.replace("FADD R12, R12, 1", "MUFU.EX2 R12, R12"))
    assert unknown == {"MUFU.EX2"}
    _, unknown = main_of(sass_text=SASS.replace("FADD R12, R12, 1", "MUFU.RSQ R12, R12"))
    assert unknown == {"MUFU.RSQ"}


def test_resource_usage():
    usage = usage_of(USAGE)
    assert (usage.registers, usage.stack, usage.shared) == (16, 0, 0)
    with pytest.raises(ValueError, match="no resource usage"):
        usage_of("nothing")


def test_facts_survive_json(compiled):
    facts = facts_of(*compiled())
    assert Facts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(("variant", "width"), [("plain", 16), ("misaligned", 4)])
def test_adam_in_cuda_c(compiled, variant, width):
    facts = facts_of(*compiled(backend="cupy", variant=variant))
    assert (facts.problem, facts.inexact, facts.local, facts.shared) == ("", (), 0, 0)
    assert (facts.threads, facts.elements) == (cuda_c.THREADS, cuda_c.CHUNK)
    assert (facts.main.loaded, facts.main.stored, facts.main.widths) == (16, 12, {width: 28})
    assert 30 < facts.main.total_instructions <= 50


def test_adam(compiled):
    case, code = compiled()
    facts = facts_of(case, code)
    assert (facts.main.loaded, facts.main.stored, facts.main.widths) == (16, 12, {16: 28})
    assert facts.threads == 128
    assert facts.inexact == ()
    assert facts.problem == ""
    # One division and one root; the sequences of both are known.
    assert facts.main.pipes["special"] == 2
    assert 20 <= facts.main.pipes["fp32"] <= 22


def test_the_loop_is_found_in_ptx_whatever_its_rounds(compiled):
    _, code = compiled()
    entry = ptx.parse(code.ptx)
    stores = [
        [one for one in ptx.accesses(block) if one.store and not one.guarded]
        for block in entry.blocks
    ]
    main = [index for index, block in enumerate(stores) if block]
    path = flow.main_path(flow.graph_of(entry.blocks), main, [])
    assert path.loop


def test_a_main_path_that_cannot_be_read_is_a_problem_and_no_crash(compiled):
    case, code = compiled()
    facts = facts_of(case, replace(code, ptx=code.ptx.replace("st.global", "@%p1 st.global")))
    assert facts.main is None
    assert "no main path" in facts.problem
