import pytest

from gpuopt.inspection import flow, sass
from gpuopt.inspection.flow import Access, Instruction

from .snippets import SASS


def instructions(text):
    """Instructions from lines of opcode and operands."""
    lines = (line.strip().partition(" ") for line in text.strip().splitlines())
    return [Instruction("", opcode, operands) for opcode, _, operands in lines]


def test_blocks_and_where_they_lead():
    blocks = sass.parse(SASS)
    labels = [block.label for block in blocks]
    graph = {
        labels[index] or index: [labels[other] or other for other in after]
        for index, after in enumerate(flow.graph_of(blocks))
    }
    assert graph[".L_x_0"] == [4, ".L_x_1"]
    assert graph[".L_x_2"] == [7, ".L_x_0"]
    assert graph[7] == []
    assert graph[".text.add_one"] == [2, ".L_x_3"]


def test_blocks_with_subroutines_are_slow_paths():
    assert sass.slow_paths(sass.parse(SASS)) == [4]


def test_the_call_of_a_local_label_is_a_jump():
    text = """
        /*0000*/               @P1 CALL.REL.NOINC `(.L_x_41) ;
        /*0010*/                   BRA `(.L_x_42) ;
.L_x_41:
        /*0020*/                   EXIT ;
.L_x_42:
        /*0030*/                   EXIT ;
"""
    blocks = sass.parse(text)
    assert sass.slow_paths(blocks) == []
    assert flow.graph_of(blocks) == [[1, 2], [3], [], []]


def test_a_jump_with_a_predicate_among_its_operands_may_go_on():
    text = """
        /*0000*/                   BRA.U UP0, `(.L_x_1) ;
        /*0010*/                   EXIT ;
.L_x_1:
        /*0020*/                   EXIT ;
"""
    assert flow.graph_of(sass.parse(text)) == [[1, 2], [], []]


def test_a_jump_to_a_computed_address_is_refused():
    with pytest.raises(ValueError, match="cannot be followed"):
        sass.parse("        /*0000*/                   BRX R2 -0x10 ;")


def test_accesses():
    found = sass.accesses(one for block in sass.parse(SASS) for one in block.instructions)
    assert Access(store=False, guarded=False, width=16) in found
    assert Access(store=True, guarded=True, width=4) in found
    assert len(found) == 5


@pytest.mark.parametrize(
    ("opcode", "width"),
    [
        ("LDG.E", 4),
        ("LDG.E.U16.SYS", 2),
        ("STG.E.64", 8),
        ("LDG.E.128.CONSTANT", 16),
        ("STG.E.U8", 1),
    ],
)
def test_width_of_an_access(opcode, width):
    assert sass.access_width(opcode) == width


def test_operations_of_each_unit():
    found = sass.pipes(instructions("FADD R1\nFMUL2 R2\nFFMA R3\nDFMA R4\nMUFU.RCP R5\nIADD3 R6"))
    assert found == {"fp32": 4, "fp64": 1, "special": 1}


def test_special_functions():
    found = sass.special_functions(
        instructions("MUFU.RCP64H R1\nMUFU.RCP R1\nMUFU.EX2 R2\nFADD R2")
    )
    assert found == {"RCP": 2, "EX2": 1}


def test_spills():
    assert sass.spills(instructions("STL.64 [R1], R2\nLDL R3, [R1]\nSTG.E [R2.64], R3")) == 2


def test_loads_in_flight_end_at_the_first_use():
    code = """
        LDG.E.128 R4, desc[UR4][R2.64]
        LDG.E.64 R8, desc[UR4][R2.64+0x10]
        FADD R20, R21, R22
        FADD R20, R7, R20
        LDG.E R30, desc[UR4][R2.64]
    """
    assert sass.loads_in_flight(instructions(code)) == 24


def test_a_load_from_a_loaded_address_waits():
    code = "LDG.E.64 R2, desc[UR4][R4.64]\nLDG.E.128 R8, desc[UR4][R2.64]"
    assert sass.loads_in_flight(instructions(code)) == 16
