"""The gate catches kernels that were made worse."""

import re
from dataclasses import replace
from functools import partial

import pytest

from gpuopt.engine.low_precision import KEEPING
from gpuopt.inspection import ptx
from gpuopt.inspection.cases import ARCHS, default_variant, dtype_label, passes_of
from gpuopt.inspection.check import findings
from gpuopt.inspection.checks import INSTRUCTIONS
from gpuopt.inspection.exemptions import EXEMPTIONS
from gpuopt.inspection.facts import facts_of
from gpuopt.inspection.flow import Instruction
from gpuopt.inspection.scopes import SAMPLE, scope_cases
from gpuopt.rules.registry import RULES
from tests.helpers.scripts import run_script

from .conftest import case_of


def failed(case, code):
    """The names of the checks that a kernel does not pass."""
    return failed_if(facts_of(case, code))


def failed_if(facts, **changes):
    """The names of the checks that a kernel would not pass if its facts were others."""
    found = findings(replace(facts, **changes))
    return {one.check for one in found if not one.exempt}


def loop_of(text, load):
    """The first line of the main path with a load, to put something beside it."""
    return next(line for line in text.splitlines() if load in line and "@" not in line)


@pytest.mark.parametrize("arch", [90])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_the_kernel_as_it_is_passes(compiled, dtype, arch):
    assert failed(*compiled(dtype=dtype, arch=arch)) == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"add\.rn\.f32 (\s*%\w+, %\w+, (%\w+));", r"fma.rn.f32 \1, \2;"),
        (r"mul\.rn\.f32", "mul.f32"),
        (r"div\.rn\.f32", "div.full.f32"),
        (r"sqrt\.rn\.f32", "sqrt.approx.ftz.f32"),
        (r"add\.rn\.f32", "add.rn.ftz.f32"),
    ],
)
def test_inexact_operations(compiled, before, after):
    case, code = compiled()
    mutant, count = re.subn(before, after, code.ptx, count=1)
    assert count == 1
    assert failed(case, replace(code, ptx=mutant)) == {"exactness"}


def test_a_kernel_that_was_compiled_with_contraction(tmp_path):
    pytest.importorskip("triton")
    code = """
        from gpuopt.inspection import triton_code
        from gpuopt.inspection.facts import facts_of
        from tests.inspection.conftest import case_of
        triton_code.constants.OPTIONS["enable_fp_fusion"] = True
        print(*facts_of(case_of(), triton_code.compile_case(case_of())).inexact)
    """
    found = run_script(code, TRITON_INTERPRET=None, TRITON_CACHE_DIR=str(tmp_path), quiet=False)
    assert "fma.rn.f32" in found.split()


def test_an_approximate_special_function_in_the_machine_code(compiled):
    case, code = compiled()
    mutant = replace(code, sass=code.sass.replace("MUFU.RCP", "MUFU.EX2"))
    assert failed(case, mutant) == {"exactness"}


def test_an_extra_load(compiled):
    case, code = compiled()
    in_ptx, in_sass = loop_of(code.ptx, "ld.global.v4"), loop_of(code.sass, "LDG.E.128")
    ptx = code.ptx.replace(in_ptx, f"{in_ptx}\n{in_ptx}", 1)
    sass = code.sass.replace(in_sass, f"{in_sass}\n{in_sass}", 1)
    assert failed(case, replace(code, ptx=ptx, sass=sass)) == {"bytes"}
    assert failed(case, replace(code, ptx=ptx)) == {"main path"}
    assert failed(case, replace(code, sass=sass)) == {"main path"}


def test_narrow_accesses(compiled):
    case, code = compiled(variant="misaligned")
    assert failed(case, code) == set()  # exempt: nothing is known of its alignment
    assert failed(replace(case, variant="plain"), code) == {"width"}


@pytest.mark.parametrize(
    ("widths", "passes"),
    [
        ({16: 16, 8: 6}, True),
        ({16: 22}, True),
        ({32: 16, 16: 6}, True),
        ({16: 14, 8: 8}, False),  # more than 16-bit lists have: a float32 list is among them
        ({16: 16, 4: 6}, False),
        ({16: 20, 2: 2}, False),
    ],
)
def test_accesses_of_16_bit_lists_may_be_half_as_wide(compiled, widths, passes):
    facts = facts_of(*compiled(dtype="bfloat16"))
    assert facts.main.widths == {16: 16, 8: 6}
    facts = replace(facts, main=replace(facts.main, widths=widths))
    assert ("width" not in {one.check for one in findings(facts)}) == passes


APART = {
    "triton": (r"(mul\.wide\.u32 \s*%rd\d+, %r\d+), 16;", r"\1, 32;"),
    "cupy": (r"(shl\.b32 \s*%r\d+, %r\d+), 2;", r"\1, 3;"),
}
"""Where threads are told their place in a block, and a place twice as far."""


@pytest.mark.parametrize("backend", APART)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_threads_with_every_second_piece(compiled, backend, dtype):
    """Each has 32 neighbouring bytes of a float32 list, in two accesses."""
    case, code = compiled(backend=backend, dtype=dtype)
    place, twice = APART[backend]
    apart, count = re.subn(place, twice, code.ptx)
    assert count
    assert failed(case, replace(code, ptx=apart)) == {"sectors"}


EIGHT_BITS = [
    {"rule": "adamw", "variant": "decay", "dtype": "float32:float32:8bit"},
    {"rule": "adamw", "variant": "split8", "dtype": "bfloat16:bfloat16:8bit"},
]


@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize("what", EIGHT_BITS, ids=lambda what: what["variant"])
def test_states_in_8_bits_pass_and_fail_when_broken(compiled, backend, what):
    case, code = compiled(backend=backend, **what)
    facts = facts_of(case, code)

    broken = partial(failed_if, facts)

    def broken_main(**changes):
        return broken(main=replace(facts.main, **changes))

    assert broken() == set()
    assert facts.main.total_bytes == case.floor < facts.main.asked
    assert broken(local=8) == broken(spills=1) == {"local memory"}
    assert broken(shared=64) == broken(barriers=2) == {"shared memory"}
    assert broken_main(loaded=facts.main.loaded + 1 / 8) == {"bytes"}
    assert broken_main(instructions=facts.main.instructions + 20) == {"instructions"}
    widths = sorted(facts.main.widths.items())
    narrower = {width // 2: moved for width, moved in widths}
    if backend == "triton" or what["variant"] == "decay":  # CUDA C has twice the elements in split8
        assert broken_main(widths={**facts.main.widths, **narrower}) == {"width"}


OWN_SCALES = {
    "triton": (r"(bfe\.u32 \s*%r\d+, %r\d+), 3, 4;", r"\1, 0, 7;"),
    "cupy": (r"(shr\.u32 \s*%r\d+, %r\d+), 5;", r"\1, 2;"),
}
"""Where threads are told the block of their elements, and another one for each thread."""


@pytest.mark.parametrize("backend", OWN_SCALES)
def test_threads_that_load_a_scale_each(compiled, backend):
    case, code = compiled(backend=backend, **EIGHT_BITS[0])
    shared, own = OWN_SCALES[backend]
    apart, count = re.subn(shared, own, code.ptx)
    assert count
    facts = facts_of(case, replace(code, ptx=apart))
    assert facts.main.total_bytes > case.floor
    assert failed(case, replace(code, ptx=apart)) >= {"bytes", "width"}


SCALES_APART = {
    "triton": r"(bfe\.u32 \s*(%r\d+), %r\d+, 3, 4;[\s\S]*?mul\.wide\.u32 \s*%rd\d+, \2), 4;",
    "cupy": r"(shr\.u32 \s*(%r\d+), %r\d+, 5;\s*mul\.wide\.u32 \s*%rd\d+, \2), 4;",
}
"""Where the place of a block becomes that of its scale."""


@pytest.mark.parametrize("backend", SCALES_APART)
def test_scales_in_sectors_of_their_own(compiled, backend):
    case, code = compiled(backend=backend, **EIGHT_BITS[0])
    apart, count = re.subn(SCALES_APART[backend], r"\1, 32;", code.ptx)
    assert count
    assert "sectors" in failed(case, replace(code, ptx=apart))


def test_a_barrier_in_the_machine_code(compiled):
    case, code = compiled(backend="triton", **EIGHT_BITS[0])
    first = loop_of(code.sass, "LDG.E.128")
    line = "        /*ffff*/   BAR.SYNC.DEFER_BLOCKING 0x0 ;"
    waiting = code.sass.replace(first, f"{first}\n{line}", 1)
    assert failed(case, replace(code, sass=waiting)) == {"shared memory"}


@pytest.mark.parametrize(
    ("widths", "passes"),
    [
        ({16: 12, 4: 4}, True),
        ({16: 12, 8: 4}, True),
        ({16: 12, 2: 4}, False),
        ({16: 10, 4: 6}, False),  # more than the codes
        ({16: 8, 8: 4, 4: 4}, False),  # a float32 list in halves
    ],
)
def test_codes_move_in_accesses_of_four_elements(compiled, widths, passes):
    facts = facts_of(*compiled(**EIGHT_BITS[0]))
    assert facts.main.widths == {16: 12, 4: 4}
    facts = replace(facts, main=replace(facts.main, widths=widths))
    assert ("width" not in {one.check for one in findings(facts)}) == passes


def test_16_bits_beside_float64_have_two_elements(compiled):
    facts = facts_of(*compiled(dtype="float64:float64:bfloat16"))
    assert "width" not in {one.check for one in findings(facts)}
    widths = {**facts.main.widths, 2: 2}
    facts = replace(facts, main=replace(facts.main, widths=widths))
    assert "width" in {one.check for one in findings(facts)}


def test_a_last_chunk_with_every_second_piece(compiled):
    case, code = compiled(backend="cupy")
    apart, count = re.subn(r"(mul\.wide\.s32 \s*%rd\d+, %r\d+), 4;", r"\1, 8;", code.ptx)
    assert count
    assert "masked sectors" in failed(case, replace(code, ptx=apart))


def test_accesses_that_all_threads_make_to_one_address(compiled):
    case, code = compiled()
    one = code.ptx.replace("%tid.x", "%ctaid.x")
    assert failed(case, replace(code, ptx=one)) == {"sectors", "bytes", "memory-bound"}


def test_local_memory(compiled):
    case, code = compiled()
    usage = code.usage.replace("STACK:0", "STACK:8")
    assert failed(case, replace(code, usage=usage)) == {"local memory"}
    first = loop_of(code.sass, "LDG.E.128")
    spilled = code.sass.replace(first, f"{first}\n        /*ffff*/   STL.64 [R1], R2 ;", 1)
    assert failed(case, replace(code, sass=spilled)) == {"local memory"}


def test_shared_memory(compiled):
    case, code = compiled()
    assert failed(case, replace(code, shared=1024)) == {"shared memory"}
    usage = code.usage.replace("SHARED:0", "SHARED:512")
    assert failed(case, replace(code, usage=usage)) == {"shared memory"}


def test_too_many_instructions(compiled):
    case, code = compiled()
    twice = re.sub(r"^(.*\bFMUL\b.*)$", r"\1\n\1\n\1", code.sass, flags=re.MULTILINE)
    assert failed(case, replace(code, sass=twice)) == {"instructions"}
    assert failed(replace(case, rule="amsgrad"), replace(code, sass=twice)) == {"bytes"}


def test_instructions_that_keep_memory_waiting(compiled):
    case, code = compiled()
    many = re.sub(r"^(.*\bFMUL\b.*)$", "\n".join([r"\1"] * 50), code.sass, flags=re.MULTILINE)
    found = [one for one in findings(facts_of(case, replace(code, sass=many)))]
    (h200,) = [one for one in found if one.check == "memory-bound" and "H200" in one.message]
    assert re.search(r"limited by \w.*, \d\d% of peak", h200.message)


def test_coefficients(compiled):
    case, code = compiled(kernel="coefficients")
    assert failed(case, code) == set()
    mutant = replace(code, ptx=code.ptx.replace("mul.rn.f64", "mul.f64", 1))
    assert failed(case, mutant) == {"exactness"}
    unrolled = re.sub(r"^(.*\bDMUL\b.*)$", "\n".join([r"\1"] * 40), code.sass, flags=re.MULTILINE)
    assert failed(case, replace(code, sass=unrolled)) == {"code"}


def test_every_rule_is_checked_on_every_architecture():
    cases = scope_cases("triton", list(RULES))
    for rule in RULES:
        of_rule = [case for case in cases if case.rule == rule]
        for dtype in ("float32", "bfloat16", "float64"):
            archs = {case.arch for case in of_rule if case.dtypes[0] == dtype}
            assert archs == set(ARCHS), (rule, dtype)
        assert {case.kernel for case in of_rule} >= {"update", "coefficients"}


@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize(
    ("variant", "dtype"),
    [
        (None, "float32:float32:8bit"),
        ("split16", "bfloat16"),
        ("split8", "bfloat16"),
        ("split8", "bfloat16:bfloat16:8bit"),
    ],
)
def test_states_and_weights_of_8_bits_are_checked_for_every_rule_that_has_them(
    backend, variant, dtype
):
    cases = scope_cases(backend, list(RULES))
    for name, rule in RULES.items():
        case = case_of(name, variant or default_variant(name), dtype, backend=backend)
        archs = {arch for arch in ARCHS if replace(case, arch=arch) in cases}
        holds = not dtype.endswith("8bit") or bool(case.update.blocked)
        assert archs == (set(ARCHS) if holds else set()), rule


def test_every_limit_of_instructions_is_of_a_case_that_is_checked():
    for backend in ("triton", "cupy"):
        cases = scope_cases(backend, list(RULES))
        found = {(c.rule, c.variant, dtype_label(c.dtypes)) for c in cases if c.kernel == "update"}
        assert all(backend in limits for limits in INSTRUCTIONS.values())
        assert set(INSTRUCTIONS) <= found


def test_every_exemption_has_a_reason_and_leaves_the_main_cases_alone():
    for exemption in EXEMPTIONS:
        assert exemption.reason
        main = [case_of(dtype=dtype) for dtype in ("float32", "bfloat16")]
        assert exemption.check == "masked sectors" or not any(map(exemption.applies, main))


TAILS = {
    ("clip_ema", "float32"): 7 * 4 + 2 * 4,
    ("zero_grads", "float32"): 7 * 4 + 4,
    ("stats", "float32"): 7 * 4,
    ("measure", "float32"): 4,
    ("master", "bfloat16"): 2 + 2 + 4 * 2 * 4,  # the parameter is only written
    ("rounding", "bfloat16"): 3 * 2 + 4 * 4,
    ("kahan", "bfloat16"): 3 * 2 + 4 * 4 + 2 * 2,
    ("whole", "bfloat16"): 2 + 2 + 4 * 2 * 4 + 2,
    ("split16", "bfloat16"): 3 * 2 + 4 * 4 + 2 * 2,
    ("split8", "bfloat16"): 3 * 2 + 4 * 4 + 2 * 1,
    ("measure", "bfloat16"): 2,
}
"""The tails that are checked, with the bytes that an element costs at least."""


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_tails_are_checked_with_their_bytes(backend):
    cases = scope_cases(backend, ["adam", "amsgrad"])
    adams = [one for one in cases if one.rule == "adam" and one.dtypes[2] == "float32"]
    found = {(one.variant, one.dtypes[0]): one.floor for one in adams if one.kernel == "update"}
    found = {key: floor for key, floor in found.items() if key in TAILS}
    assert found == TAILS
    assert {c.rule for c in cases if c.variant in dict(TAILS)} <= {"adam", "amsgrad"}
    of_one = {v for v, _ in TAILS} - {"split16", "split8"}
    assert {c.rule for c in cases if c.variant in of_one} == {"adam"}


@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize(("variant", "dtype"), TAILS)
def test_tails_pass_and_fail_when_broken(compiled, backend, variant, dtype):
    case, code = compiled(backend=backend, variant=variant, dtype=dtype)
    facts = facts_of(case, code)

    broken = partial(failed_if, facts)

    assert broken() == set()
    assert broken(local=8) == {"local memory"}
    assert broken(inexact=("fma.rn.f64", "fma.rn.f32")) == {"exactness"}
    if facts.main is not None:
        assert broken(main=replace(facts.main, loaded=facts.main.loaded + 2)) == {"bytes"}
    assert ("shared memory" in broken(shared=64)) == (variant not in ("stats", "whole", "measure"))


# --- passes outside of steps ----------------------------------------------------------------------

AVERAGED, SOPHIA = "adamw_schedule_free", "sophiag"
PASS_BYTES = {
    **{(AVERAGED, name, "float32"): 3 * 4 for name in ("train", "eval")},  # p twice, and z
    **{(AVERAGED, name, "bfloat16"): 2 * 2 + 4 for name in ("train", "eval")},
    (AVERAGED, "train", "float64"): 3 * 8,
    (AVERAGED, "eval", "float32:float32:8bit"): 3 * 4,
    (AVERAGED, "train_master", "bfloat16"): 2 + 2 * 4 + 4,  # the parameter is only written
    (AVERAGED, "eval_split16", "bfloat16"): 2 * 2 + 2 * 2 + 4,
    (AVERAGED, "train_split8", "bfloat16"): 2 * 2 + 2 * 1 + 4,
    (AVERAGED, "eval_split8", "bfloat16:bfloat16:8bit"): 2 * 2 + 2 * 1 + 4,
    (AVERAGED, "train_kahan", "bfloat16"): 2 * 2 + 2 * 2 + 4,
    (SOPHIA, "update_hessian", "float32"): 4 + 2 * 4,  # g, and the Hessian twice
    (SOPHIA, "update_hessian_scale", "bfloat16"): 2 + 2 * 4,
    (SOPHIA, "update_hessian", "float32:float32:8bit"): 4 + 2 * 4,
}
"""The bytes that an element of a pass costs at least."""


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_every_pass_is_checked_on_every_architecture_with_its_bytes(backend):
    cases = scope_cases(backend, list(RULES))
    found = {}
    for one in cases:
        if one.of_pass and one.kernel == "update":
            found.setdefault((one.rule, one.variant, dtype_label(one.dtypes)), []).append(one)
    assert all({one.arch for one in same} == set(ARCHS) for same in found.values())
    for key, floor in PASS_BYTES.items():
        assert {one.floor for one in found[key]} == {floor}, key
    for name, rule in RULES.items():
        checked = {(one.variant, one.kernel) for one in cases if one.rule == name}
        for wanted in rule.passes:
            assert {(wanted, "update"), (wanted, "coefficients")} <= checked, (name, wanted)


def test_passes_that_keep_what_is_rounded_off_do_so_in_every_way():
    """As an optimizer with such a tail has them."""
    for name, rule in RULES.items():
        for wanted, stage in rule.passes.items():
            ways = [own for own in passes_of(rule).values() if own.name == wanted]
            kept = {own.tail.narrow for own in ways}
            assert kept - {""} == (KEEPING if "p" in stage.results else set()), name
            assert any(own.stages for own in ways) == ("g" in stage.values), name


@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize(("rule", "variant", "dtype"), PASS_BYTES)
def test_passes_pass_and_fail_when_broken(compiled, backend, rule, variant, dtype):
    case, code = compiled(backend=backend, rule=rule, variant=variant, dtype=dtype)
    facts = facts_of(case, code)

    broken = partial(failed_if, facts)

    assert broken() == set()
    assert facts.main.total_bytes == PASS_BYTES[rule, variant, dtype]
    assert broken(main=replace(facts.main, loaded=facts.main.loaded + 4)) == {"bytes"}
    assert broken(local=8) == {"local memory"}
    assert broken(shared=64) == {"shared memory"}
    assert broken(inexact=("fma.rn.f32",)) == {"exactness"}


def test_a_pass_that_moves_a_list_it_does_not_need(compiled, monkeypatch):
    """The step's average of squares, in the pass from y to x and back."""
    case, code = compiled(rule=AVERAGED, variant="train", backend="cupy")
    rule = RULES[AVERAGED]

    def both(p, z, exp_avg_sq, share):
        return p + share * (z - p) + 0.0 * exp_avg_sq

    values = ("p", "z", "exp_avg_sq")
    more = replace(rule.passes["train"], function=both, values=values)
    monkeypatch.setitem(RULES, AVERAGED, replace(rule, passes={"train": more}))
    other = pytest.importorskip("gpuopt.inspection.cuda_code").compile_case(case)
    monkeypatch.undo()
    assert failed(case, other) == {"bytes"}
    assert failed(case, code) == set()


# --- what adds up partials, and what comes of totals ----------------------------------------------

SMALL = [
    ("adam", "norm_subtotals", "subtotals"),
    ("adam", "norm_total", "total"),
    ("lamb", "sums_of_tensors", "sums"),
    ("prodigy", "totals_of_tables", "sums"),
    ("prodigy", "totals_of_all", "sums"),
    ("prodigy", "advance", "coefficients"),
    ("dadapt_adam", "advance", "coefficients"),
]


@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize(("rule", "variant", "kernel"), SMALL)
def test_small_kernels_pass_and_fail_when_broken(compiled, backend, rule, variant, kernel):
    case, code = compiled(backend=backend, rule=rule, variant=variant, kernel=kernel)
    facts = facts_of(case, code)

    broken = partial(failed_if, facts)

    assert case in scope_cases(backend, list(RULES))
    assert (broken(), case.floor, facts.main) == (set(), 0, None)
    assert facts.inexact == ()
    assert broken(inexact=("fma.rn.f64",)) == {"exactness"}  # of no square, so that it is none
    assert broken(local=8) == broken(spills=1) == {"local memory"}
    assert broken(length=facts.length + 600) == {"code"}
    adds_up = kernel != "coefficients"
    assert bool(facts.barriers) == bool(facts.shared) == adds_up
    assert broken(shared=64, barriers=1) == (set() if adds_up else {"shared memory"})
    mutant = re.sub(r"(add|mul|div|sqrt)\.rn\.f64", r"\1.f64", code.ptx, count=1)
    assert failed(case, replace(code, ptx=mutant)) >= {"exactness"}


def test_every_rule_with_shared_numbers_has_its_advance_checked_on_every_architecture():
    cases = scope_cases("triton", list(RULES))
    found = {(one.rule, one.arch) for one in cases if one.variant == "advance"}
    sharing = [name for name, rule in RULES.items() if rule.shared]
    assert sharing
    assert found == {(name, arch) for name in sharing for arch in ARCHS}


@pytest.mark.parametrize(
    ("what", "may"),
    [
        ({"variant": "stats"}, True),
        ({"variant": "measure"}, True),
        ({"rule": "lamb", "variant": "sums"}, True),
        ({"rule": "prodigy", "variant": "sums"}, False),
        ({"rule": "prodigy_one_pass"}, False),
        ({"variant": "stats", "kernel": "coefficients"}, False),
    ],
)
def test_only_sums_of_squares_may_fuse(what, may):
    case = case_of(**what)
    fused = [one for one in EXEMPTIONS if one.message.endswith("fma.rn.f64")]
    assert any(one.applies(case) for one in fused) == may


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_a_sample_has_everything_but_not_all_of_it_together(backend):
    every, some = scope_cases(backend, list(RULES)), scope_cases(backend, list(RULES), SAMPLE)
    assert set(some) <= set(every)
    assert len(some) < len(every) / 8
    for part in ("kernel", "rule", "variant", "dtypes"):
        assert {getattr(c, part) for c in some} == {getattr(c, part) for c in every}, part


@pytest.mark.parametrize(
    ("opcodes", "expected"),
    [
        ({"rcp.approx.ftz.f32": 2, "fma.rn.f32": 8}, []),
        ({"rcp.approx.ftz.f32": 4, "fma.rn.f32": 3, "fma.rn.f32x2": 7}, []),
        ({"rcp.approx.ftz.f32": 2, "fma.rn.f32": 9}, ["fma.rn.f32", "rcp.approx.ftz.f32"]),
        ({"rcp.approx.ftz.f32": 2, "fma.rn.f32": 7}, ["fma.rn.f32", "rcp.approx.ftz.f32"]),
        ({"fma.rn.f32": 1}, ["fma.rn.f32"]),
        ({"rcp.approx.ftz.f32": 1}, ["rcp.approx.ftz.f32"]),
        ({"rcp.approx.ftz.f32": 1, "fma.rn.f32": 4, "mul.f32": 1}, ["mul.f32"]),
    ],
)
def test_an_approximate_reciprocal_is_exact_as_a_quotient_alone(opcodes, expected):
    instructions = [Instruction("", o, "") for o, count in opcodes.items() for _ in range(count)]
    assert ptx.inexact(instructions) == expected
