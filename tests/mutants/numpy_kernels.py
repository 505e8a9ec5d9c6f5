"""Mutants of the NumPy backend, and of storage and roundings in NumPy."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "each block has the random words of the first",
        "kernels/numpy/blocks.py",
        "element = np.arange(begin, begin + n, dtype=np.int64)",
        "element = np.arange(n, dtype=np.int64)",
        "tests/tail/test_narrow.py -k 'blocks_of_a_tensor and numpy'",
    ),
    Mutant(
        "infinities count as finite",
        "kernels/numpy/partials.py",
        "(~np.isfinite(wide)).sum()",
        "np.isnan(wide).sum()",
        "tests/tail/test_skip.py -k numpy",
    ),
    Mutant(
        "the largest value beside a NaN is a NaN",
        "kernels/numpy/partials.py",
        "np.fmax.reduce(np.abs(wide), initial=0.0)",
        "np.maximum.reduce(np.abs(wide), initial=0.0)",
        "tests/tail/test_skip.py -k 'numpy and statistics'",
    ),
    Mutant(
        "results that are not in place are not stored",
        "kernels/numpy/blocks.py",
        "if result is not stored[row]:",
        "if result is stored[row]:",
        "tests/backends/test_dtypes.py::test_gradient_descent -k llvm",
    ),
    Mutant(
        "ties are rounded up to bfloat16",
        "kernels/storage.py",
        "rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)",
        "rounded = (bits + np.uint32(0x8000)) >> np.uint32(16)",
        "tests/rules/test_storage.py -k encoding",
    ),
    Mutant(
        "float64 is rounded to float16 at once",
        "kernels/storage.py",
        'if dtype in ("float16", "bfloat16"):',
        'if dtype in ("bfloat16",):',
        "tests/rules/test_storage.py -k float64_goes",
    ),
    Mutant(
        "two bfloat16 states are rounded by the same bits",
        "kernels/roundings.py",
        "return _dithered_bfloat16(np.float32(x), word >> np.uint32(16))",
        "return _dithered_bfloat16(np.float32(x), word & np.uint32(0xFFFF))",
        "tests/tail/test_narrow_states.py -k of_their_own",
    ),
    Mutant(
        "a large float16 state becomes infinite by chance",
        "kernels/roundings.py",
        "beyond = np.where(size < np.float32(np.inf), np.float32(65504.0), size)",
        "beyond = np.where(size < np.float32(np.inf), np.float32(np.inf), size)",
        "tests/tail/test_narrow_states.py -k infinite_by_chance",
    ),
)
