"""NVRTC compiles every rule for every architecture, without a GPU and without a CUDA toolkit."""

import re
from collections import Counter

import pytest
from gpuopt.kernels.cuda import source as cuda_c
from gpuopt.kernels.storage import STORAGE

from gpuopt import RULES
from gpuopt.inspection import ptx, sectors
from gpuopt.inspection.cases import ARCHS, Case
from gpuopt.inspection.flow import Block
from tests.cuda_c.tables import list_dtypes, update_of

nvrtc = pytest.importorskip("gpuopt.inspection.nvrtc", reason="cuda-bindings, nvidia-cuda-nvrtc")

FLOAT32 = ("float32",) * 3
MIXES = [
    ("bfloat16", "bfloat16", "float32"),
    ("float16", "float16", "float16"),
    ("float64", "float64", "float64"),
    ("float64", "bfloat16", "float64"),
]
SOME_ARCHS = [
    arch if arch in (75, 90, 120) else pytest.param(arch, marks=pytest.mark.nightly)
    for arch in ARCHS
]
ELF = b"\x7fELF"


def compiled(rule, mix, arch, kernel, vectors=True):
    """The PTX of a kernel, held to what all of them keep; and the dtypes of its lists."""
    update = update_of(rule)
    dtypes = list_dtypes(update, *mix)
    source = cuda_c.source(update, dtypes, vectors, (kernel,))
    code = nvrtc.compile_for(source, arch, cuda_c.OPTIONS)
    assert code.cubin.startswith(ELF)
    assert not re.search(r"\.local\b", code.ptx)
    adds_up = kernel == cuda_c.UPDATE and bool(update.watched_names)
    assert bool(re.search(r"\.shared\b", code.ptx)) == adds_up
    entry = ptx.parse(code.ptx)
    assert entry.name == kernel
    assert ptx.inexact(entry.instructions) == []
    return entry, dtypes


def expected_accesses(dtypes, read, written):
    """How many loads, and stores, of each width a round of a thread has.

    Each access has as many elements as 16 bytes of the widest list.
    """
    sizes = [STORAGE[dtype].itemsize for dtype in dtypes]
    run, count = 16 // max(sizes), max(sizes) // min(sizes)
    lists = [(False, sizes[i]) for i in read] + [(True, sizes[i]) for i in written]
    return Counter({access: count * lists.count(access) for access in lists}), run


def check_update(rule, mix, arch):
    entry, dtypes = compiled(rule, mix, arch, cuda_c.UPDATE)
    assert entry.threads == cuda_c.THREADS
    update = update_of(rule)
    expected, run = expected_accesses(dtypes, update.read, update.written)
    vectors = Counter(
        (one.name == "st", access.width // run)
        for one in entry.instructions
        for access in ptx.accesses(Block("", (one,)))
        if ".v" in one.opcode
    )
    assert vectors == {access: n for access, n in expected.items() if access[1] * run > 4}
    touched = sectors.touched(entry, cuda_c.THREADS)
    assert all(one.sectors == one.floor for one in touched)
    assert {(one.store, one.width // run) for one in touched if not one.masked} == set(expected)


@pytest.mark.parametrize("arch", SOME_ARCHS)
def test_every_rule_compiles_for_every_architecture(arch):
    for rule in RULES:
        check_update(rule, FLOAT32, arch)


@pytest.mark.parametrize("mix", MIXES, ids="-".join)
@pytest.mark.parametrize("arch", [75, 90, 120])
def test_every_dtype_moves_in_whole_sectors(mix, arch):
    for rule in ("adam", "rmsprop_centered_momentum"):
        check_update(rule, mix, arch)


@pytest.mark.parametrize("arch", ARCHS)
def test_misaligned_tensors_are_moved_element_by_element(arch):
    entry, _ = compiled("adam", MIXES[0], arch, cuda_c.UPDATE, vectors=False)
    widths = {access.width for block in entry.blocks for access in ptx.accesses(block)}
    assert widths == {2, 4, 8}  # 8: the table


@pytest.mark.parametrize("rule", RULES)
def test_coefficients_compile_for_the_oldest_and_the_newest(rule):
    for arch in (ARCHS[0], ARCHS[-1]):
        entry, _ = compiled(rule, FLOAT32, arch, cuda_c.COEFFICIENTS)
        assert entry.threads == cuda_c.COEFFICIENT_THREADS


@pytest.mark.parametrize("mix", [FLOAT32, *MIXES], ids="-".join)
def test_a_round_waits_for_nothing_before_all_its_loads_are_under_way(mix):
    entry, _ = compiled("amsgrad", mix, 90, cuda_c.UPDATE)
    wide = [i for i, one in enumerate(entry.instructions) if re.match(r"ld.*\.v[24]\.", one.opcode)]
    between = [one.opcode for one in entry.instructions[wide[0] : wide[-1]]]
    assert [x for x in between if re.match(r"st|bra|(mul|add|sub|div|sqrt)\..*f(32|64)", x)] == []


@pytest.mark.parametrize("arch", [75, 90, 100, 120])
@pytest.mark.parametrize("state", ["float16", "float64"])
def test_a_thread_with_eight_float64_elements_keeps_them_in_registers(state, arch):
    """Eight are 16 bytes of the 16-bit list; inspection checks the rest."""
    pytest.importorskip("triton")  # the disassemblers
    from gpuopt.inspection.cuda_code import compile_case
    from gpuopt.inspection.facts import facts_of

    case = Case("cupy", "update", "amsgrad", "scale_decay", ("float64", "float16", state), arch)
    facts = facts_of(case, compile_case(case))
    assert (facts.local, facts.spills, facts.problem) == (0, 0, "")
    assert set(facts.main.widths) == {4, 16}
