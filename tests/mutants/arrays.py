"""Mutants of how arrays are described, compared and made."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "equal strides do not overlap",
        "gpuopt/arrays/memory.py",
        "if stride <= reach:",
        "if stride < reach:",
        "tests/optimizers/test_bad_parameters.py -k elements_overlap",
    ),
    Mutant(
        "only the nearest parameter is looked at for overlaps",
        "gpuopt/arrays/aliasing.py",
        "self._high = np.maximum.accumulate(extents[self._sorted, 1])",
        "self._high = extents[self._sorted, 1]",
        "tests/optimizers/test_bad_gradients.py -k not_the_nearest",
    ),
    Mutant(
        "an offset into a storage is taken for bytes",
        "gpuopt/arrays/changes.py",
        "(first * items + needed <= held)",
        "(first + needed <= held)",
        "tests/faults/test_changed_memory.py -k 'test_gradients and begins'",
    ),
    Mutant(
        "an array with the id of one that was freed is that one",
        "gpuopt/arrays/changes.py",
        "            not self._freed\n            and list(map(id",
        "            list(map(id",
        "tests/optimizers/test_changes.py -k freed",
    ),
    Mutant(
        "a dtype that is set goes unnoticed",
        "gpuopt/arrays/changes.py",
        "and list(map(DTYPE, arrays)) == self._dtypes",
        "and len(arrays) == len(self._dtypes)",
        "tests/faults/test_changed_memory.py -k gradient_of_another_dtype",
    ),
    Mutant(
        "a parameter that is copied at each export is taken",
        "gpuopt/arrays/foreign.py",
        'return library.describe(again, "array").address != memory.address',
        'return library.describe(again, "array").address == 0',
        "tests/faults/test_memory_made_at_export.py -k parameters",
    ),
    Mutant(
        "states made in inference mode are of it",
        "gpuopt/arrays/torch_tensors.py",
        'return sys.modules["torch"].inference_mode(False)',
        'return sys.modules["torch"].no_grad()',
        "tests/drop_in/test_counts.py -k states_of_the_array_api",
    ),
    Mutant(
        "states lie in C order",
        "gpuopt/arrays/numpy_arrays.py",
        'np.zeros_like(array, dtype=numpy_dtype(dtype), order="K", subok=False)',
        'np.zeros_like(array, dtype=numpy_dtype(dtype), order="C", subok=False)',
        "tests/optimizers/test_structures.py -k memory_order",
    ),
    Mutant(
        "an integer tensor is taken as a learning rate",
        "gpuopt/arrays/scalars.py",
        "return bool(array.numel() == 1 and array.is_floating_point())",
        "return bool(array.numel() == 1)",
        "tests/optimizers/test_bad_options.py -k numbers_of_torch",
    ),
)
