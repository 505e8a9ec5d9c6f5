"""Mutants of the Triton backend."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the mask takes one element behind the end",
        "kernels/triton/kernels.py",
        "mask = within < left",
        "mask = within <= left",
        "tests/backends/test_sizes.py::test_boundaries -k triton",
    ),
    Mutant(
        "a load forgets its mask",
        "kernels/triton/memory.py",
        "tl.load(pointers[READ[i]] + offsets, mask=mask)",
        "tl.load(pointers[READ[i]] + offsets)",
        "tests/backends/test_sizes.py::test_boundaries -k triton",
    ),
    Mutant(
        "what a resting tensor carries moves on",
        "kernels/triton/kernels.py",
        "number, mask=mask & active)",
        "number, mask=mask)",
        "tests/backends/test_carried.py -k triton",
    ),
    Mutant(
        "the beginning of a chunk has 32 bits",
        "kernels/triton/kernels.py",
        "begin = tl.load(chunks_ptr + 2 * program + 1).to(tl.int64) * CHUNK",
        "begin = tl.load(chunks_ptr + 2 * program + 1) * CHUNK",
        "tests/backends/test_far_offsets.py -k triton",
    ),
    Mutant(
        "one program computes the coefficients of all tensors",
        "kernels/triton/launch.py",
        "grid = (triton.cdiv(arguments[-1], COEFFICIENT_BLOCK),)",
        "grid = (1,)",
        "tests/backends/test_sizes.py::test_hundreds_of_tensors_in_several_groups -k triton",
    ),
    Mutant(
        "kernels are compiled when they are launched",
        "kernels/triton/launch.py",
        "    compiled = kernel.warmup(*arguments, grid=grid, **constants)\n",
        "    return partial(kernel[grid], *arguments, **constants)\n",
        "tests/triton/test_devices.py -k compiled_and_loaded",
    ),
    Mutant(
        "kernels are compiled for whichever device is current",
        "kernels/device_table.py",
        "with memory.current():  # kernels are compiled and loaded",
        "if memory:  # kernels are compiled and loaded",
        "tests/triton/test_devices.py -k compiled_and_loaded",
    ),
    Mutant(
        "CuPy's default stream becomes a new stream of torch",
        "kernels/torch_memory.py",
        "    if handle in (0, 1):\n",
        "    if handle == 1:\n",
        "tests/triton/test_torch_memory.py -k default_stream",
    ),
    Mutant(
        "pinned memory is made on the default device",
        "kernels/torch_memory.py",
        'torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)',
        "torch.empty(shape, dtype=dtype, pin_memory=True)",
        "tests/triton/test_torch_memory.py -k pinned",
    ),
    Mutant(
        "the first captured step is the first to copy the number that skips it",
        "kernels/device_table.py",
        "memory.copy_number(self._skip, 0, 0, self._go)  # compiled now",
        "pass  # compiled now",
        "tests/cuda_c/test_graphs.py -k of_a_kind",
    ),
    Mutant(
        "sums and products are contracted",
        "kernels/triton/constants.py",
        '"enable_fp_fusion": False',
        '"enable_fp_fusion": True',
        "tests/backends/test_same_bits.py::test_hostile_values -k 'triton and adam'",
    ),
    Mutant(
        "the square root is approximate",
        "kernels/triton/maths.py",
        "return tl.sqrt_rn(a)",
        "return tl.sqrt(a)",
        "tests/backends/test_same_bits.py::test_hostile_values -k 'triton and adam'",
    ),
    Mutant(
        "a negated zero is positive",
        "kernels/triton/source.py",
        "return ast.BinOp(_literal(-1.0), ast.Mult(), operand)",
        "return ast.BinOp(_literal(0.0), ast.Sub(), operand)",
        "tests/triton/test_source.py",
    ),
    Mutant(
        "two bfloat16 states are rounded by the same bits",
        "kernels/triton/maths.py",
        "return _dithered_bfloat16(x, word >> 16)",
        "return _dithered_bfloat16(x, word & 0xFFFF)",
        "tests/backends/test_tail_on_device.py::test_states_in_16_bits -k triton",
    ),
)
