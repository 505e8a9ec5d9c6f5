"""Mutants of the CUDA C backend."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the last chunk ends one element too late",
        "kernels/cuda/memory.cuh",
        "return !BOUNDED || at < end;",
        "return !BOUNDED || at <= end;",
        "tests/backends/test_sizes.py::test_boundaries -k cupy",
    ),
    Mutant(
        "the first of two packed values is lost",
        "kernels/cuda/memory.cuh",
        "words[i / 2] |= (uint32)(bits & 0xffff) << 16;",
        "words[i / 2] = (uint32)(bits & 0xffff) << 16;",
        "tests/cuda_c/test_update.py -k every_two_dtypes",
    ),
    Mutant(
        "zeros are written behind the end of a gradient",
        "kernels/cuda/multi_tensor.cuh",
        "const int end = left < CHUNK ? (int)left : CHUNK;",
        "const int end = CHUNK;",
        "tests/backends/test_tail_on_device.py -k 'cupy and skipped_step_are_zeroed'",
    ),
    Mutant(
        "a thread too many computes coefficients",
        "kernels/cuda/multi_tensor.cuh",
        "if (tensor >= n_tensors) {",
        "if (tensor > n_tensors) {",
        "tests/backends/test_sizes.py::test_boundaries -k cupy",
    ),
    Mutant(
        "a tensor without a gradient ages",
        "kernels/cuda/multi_tensor.cuh",
        "const int64 step = steps[tensor] + active;",
        "const int64 step = steps[tensor] + 1;",
        "tests/cuda_c/test_coefficients.py -k ages",
    ),
    Mutant(
        "what a resting tensor carries moves on",
        "kernels/cuda/multi_tensor.cuh",
        "        if (active) {\n",
        "        if (*skip == 0) {\n",
        "tests/cuda_c/test_coefficients.py -k resting",
    ),
    Mutant(
        "ties are rounded up to bfloat16",
        "kernels/cuda/elements.cuh",
        "(bits + 0x7fff + odd) >> 16",
        "(bits + 0x8000) >> 16",
        "tests/cuda_c/test_update.py -k nearest",
    ),
    Mutant(
        "the sums of a warp are left out",
        "kernels/cuda/sums.cuh",
        "for (int warp = 1; warp < WARPS; warp++) {",
        "for (int warp = 2; warp < WARPS; warp++) {",
        "tests/backends/test_tail_on_device.py -k 'cupy and float64'",
    ),
    Mutant(
        "sums and products are contracted",
        "kernels/cuda/source.py",
        '"--fmad=false", ',
        "",
        "tests/backends/test_same_bits.py::test_hostile_values -k 'cupy and adam'",
    ),
    Mutant(
        "a cubin is taken for another architecture",
        "kernels/cuda/cubin.py",
        "repr((nvrtc.getVersion(), options, text))",
        "repr((nvrtc.getVersion(), text))",
        "tests/cupy/test_cubin.py",
    ),
    Mutant(
        "pinned memory is written while it is still to be copied",
        "kernels/cuda/cupy_memory.py",
        "            if buffer.copied.done:\n",
        "            if buffer.copied:\n",
        "tests/cupy/test_cupy_memory.py",
    ),
    Mutant(
        "a subtotal lacks a row",
        "kernels/cuda/multi_tensor.cuh",
        "left < SUBTOTAL_ROWS ? left : SUBTOTAL_ROWS",
        "left < SUBTOTAL_ROWS ? left - 1 : SUBTOTAL_ROWS",
        "tests/backends/test_many_chunks.py -k 'cupy and finite'",
    ),
    Mutant(
        "real powers end at the first half of the fraction",
        "kernels/cuda/elements.cuh",
        "i < 52 && fraction > 0.0",
        "i < 26 && fraction > 0.0",
        "tests/cuda_c/test_coefficients.py -k 'nadam and float64'",
    ),
)
