"""Mutants of `gpuopt inspect`: its parsers, its gate, its cache."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "flushing denormals counts as exact",
        "gpuopt/inspection/ptx.py",
        '"approx", "ftz", "full"',
        '"approx", "full"',
        "tests/inspection/test_ptx.py -k not_exactly",
    ),
    Mutant(
        "what runs for masked chunks, too, is part of the main path",
        "gpuopt/inspection/flow.py",
        "straight = before - masked_too",
        "straight = before",
        "tests/inspection/test_flow.py",
    ),
    Mutant(
        "loads of spilled values are not counted",
        "gpuopt/inspection/sass.py",
        'one.name in ("STL", "LDL")',
        'one.name in ("STL",)',
        "tests/inspection/test_sass.py -k spills",
    ),
    Mutant(
        "a packed operation counts once",
        "gpuopt/inspection/sass.py",
        'counts[pipe] += 2 if one.name.endswith("2") and pipe == "fp32" else 1',
        "counts[pipe] += 1",
        "tests/inspection/test_sass.py -k each_unit",
    ),
    Mutant(
        "the busiest unit is compared the other way round",
        "gpuopt/inspection/predict.py",
        "busy = times[slowest] / memory",
        "busy = memory / times[slowest]",
        "tests/inspection/test_predict.py",
    ),
    Mutant(
        "any traffic up to the floor is accepted",
        "gpuopt/inspection/check.py",
        "facts.main.total_bytes != facts.case.floor",
        "facts.main.total_bytes < facts.case.floor",
        "tests/inspection/test_gate.py -k extra_load",
    ),
    Mutant(
        "the entry of another case is taken",
        "kernels/disk_cache.py",
        "entry.name.encode() + content",
        "content",
        "tests/faults/test_caches.py -k entry_of_another_case",
    ),
    Mutant(
        "compilers inherit the variables of Triton",
        "gpuopt/inspection/compile.py",
        'if not name.startswith("TRITON_") or name.endswith("_PATH")',
        "if name",
        "tests/inspection/test_compile.py",
    ),
    Mutant(
        "warps may touch twice as many sectors as hold their bytes",
        "gpuopt/inspection/check.py",
        "return one.sectors != one.floor",
        "return one.sectors > 2 * one.floor",
        "tests/inspection/test_gate.py -k every_second_piece",
    ),
    Mutant(
        "what a loop does to a pointer is not seen",
        "gpuopt/inspection/sectors.py",
        "return _Value(own) if np.array_equal(own, others) else _ANY",
        "return _Value(own)",
        "tests/inspection/test_sectors.py -k loop",
    ),
    Mutant(
        "the first warp speaks for all",
        "gpuopt/inspection/sectors.py",
        "return max(len(np.unique(warp // SECTOR)) for warp in bytes_)",
        "return len(np.unique(bytes_[0] // SECTOR))",
        "tests/inspection/test_sectors.py -k worst",
    ),
)
