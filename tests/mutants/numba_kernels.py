"""Mutants of the Numba backend, of its threads, and of the mode in which they compute."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the last element of a whole chunk is left out",
        "kernels/numba/launch.py",
        'f"        n = min({CHUNK}, sizes[tensor] - begin)",',
        'f"        n = min({CHUNK - 1}, sizes[tensor] - begin)",',
        "tests/backends/test_sizes.py::test_boundaries -k numba",
    ),
    Mutant(
        "a gradient that is gone counts in the norm",
        "kernels/numba/launch.py",
        '*["            partials[k] = 0.0"] * bool(update.watched_names),',
        "",
        "tests/tail/test_clipping.py -k does_not_count",
    ),
    Mutant(
        "sums of a chunk go on in the next",
        "kernels/numba/launch.py",
        '*(f"clear({lanes[i]})" for i in seen),',
        "",
        "tests/tail/test_skip.py -k 'numba and statistics_are'",
    ),
    Mutant(
        "arithmetic may be reordered",
        "kernels/numba/launch.py",
        'numba.njit(signature, error_model="numpy", nogil=True)',
        'numba.njit(signature, error_model="numpy", nogil=True, fastmath=True)',
        "tests/backends/test_same_bits.py::test_hostile_values -k 'numba and adam'",
    ),
    Mutant(
        "all streams have the same random words",
        "kernels/numba/launch.py",
        'f"{high} + {stream * STREAM}"',
        "high",
        "tests/tail/test_combinations.py -k 'statement and numba and state_dtype'",
    ),
    Mutant(
        "the maximum loses a NaN",
        "kernels/numba/maths.py",
        "return where((a > b) | (a != a), a, b)",
        "return where(a > b, a, b)",
        "tests/backends/test_same_bits.py::test_hostile_values -k 'numba and amsgrad'",
    ),
    Mutant(
        "each block has the random words of the first",
        "kernels/numba/maths.py",
        "block = np.uint64(begin // 4) + np.uint64(i)",
        "block = np.uint64(i)",
        "tests/tail/test_narrow.py -k 'blocks_of_a_tensor and numba'",
    ),
    Mutant(
        "lanes are folded onto one",
        "kernels/numba/sums.py",
        "sums[j] += sums[j + half]",
        "sums[j] += sums[half]",
        "tests/tail/test_clipping.py -k norm_is_torchs",
    ),
    Mutant(
        "threads of the pool keep the mode of the caller",
        "kernels/threads.py",
        ', "gpuopt", initializer=set_default_mode',
        ', "gpuopt"',
        "tests/faults/test_float_mode.py -k threads_of_a_caller",
    ),
    Mutant(
        "the caller's mode is not given back",
        "kernels/float_mode.py",
        "            set_(callers)\n",
        "            pass\n",
        "tests/faults/test_float_mode.py -k steps",
    ),
    Mutant(
        "a share for which there is no thread is left out",
        "kernels/threads.py",
        "            work(*share)\n",
        "            pass\n",
        "tests/backends/test_threads.py -k out_of_threads",
    ),
)
