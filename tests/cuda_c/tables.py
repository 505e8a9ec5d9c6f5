"""A table of NumPy arrays, walked by the CUDA C on the CPU and by the NumPy rule."""

from dataclasses import dataclass, field
from inspect import signature

import numpy as np
from gpuopt.kernels.cuda import source as cuda_c
from gpuopt.kernels.roundings import STREAM
from gpuopt.kernels.storage import compute_dtype
from gpuopt.kernels.trace.operations import trace
from gpuopt.kernels.trace.retarget import retarget

from gpuopt import RULES
from gpuopt.engine.compose import compose
from gpuopt.engine.table import EMPTY, chunks_of
from gpuopt.rules.stages import SCALE_GRADIENT, decay_of
from tests.helpers.cuda_on_cpu import Module
from tests.helpers.exact import assert_same_bits
from tests.helpers.values import values


def update_of(rule, stages=True):
    """A rule's composed update, behind every stage that it can have."""
    rule = RULES[rule]
    decay = () if rule.decays else (decay_of(rule),)
    return compose(rule, (SCALE_GRADIENT, *decay) if stages else ())


def list_dtypes(update, param, grad, state):
    """The dtype of each list of an update."""
    return (param, grad, *(state for _ in update.lists[2:]))


def drawn(update, dtypes, sizes, kind="mixed"):
    """New arrays for each size: one of each list."""
    arrays = [
        [values(kind, (size,), dtype, 10 * size + i) for i, dtype in enumerate(dtypes)]
        for size in sizes
    ]
    names = {
        o.name
        for o in trace(update.function, tuple(signature(update.function).parameters)).operations
    }
    if names & {"maximum", "minimum"}:
        # Which zero np.maximum(0.0, -0.0) gives depends on the processor, in NumPy itself.
        with np.errstate(all="ignore"):
            arrays = [[a + a.dtype.type(0) for a in row] for row in arrays]
    return arrays


def coefficients_for(update, n_tensors, dtype):
    """Coefficients of a size that shows in the results, others for each tensor."""
    names = update.coefficient_names
    found = np.random.default_rng(3).uniform(0.1, 0.9, (n_tensors, len(names)))
    halves = [name.endswith(("_high", "_low")) for name in names]  # of 32 bits: integers
    found[:, halves] = np.floor(found[:, halves] * 65536)
    return found.astype(dtype)


@dataclass
class Walk:
    """A launch of the update's kernel.

    Attributes:
        update: the composed update.
        dtypes: of each list.
        vectors: whether every array is aligned to 16 bytes.
        arrays: for each tensor, one of each list; None for a gradient that is not there.
        coefficients: one row a tensor; without it some are drawn.
    """

    update: object
    dtypes: tuple
    vectors: bool
    arrays: list
    coefficients: np.ndarray = field(default=None)

    def __post_init__(self):
        if self.coefficients is None:
            compute = compute_dtype(self.dtypes[0])
            self.coefficients = coefficients_for(self.update, len(self.arrays), compute)

    def run(self):
        """Launch it: the arrays change."""
        addresses = np.array([[_address(a) for a in row] for row in self.arrays], np.int64)
        sizes = np.array([row[0].size for row in self.arrays])
        chunks, _ = chunks_of(sizes, cuda_c.CHUNK)
        self.launch(np.ascontiguousarray(addresses.T), sizes, chunks)

    def launch(self, addresses, sizes, chunks):
        """Launch it over a table."""
        module = Module(cuda_c.source(self.update, self.dtypes, self.vectors))
        go = np.zeros(1, np.float32)
        self.partials = np.full((len(chunks), len(self.update.watched_names), 3), np.nan)
        table = (addresses, sizes, chunks, self.coefficients, go, self.partials)
        arguments = (*table, np.int64(len(sizes)))
        module.launch(cuda_c.UPDATE, *cuda_c.update_geometry(len(chunks)), arguments)

    def expected(self):
        """What the NumPy rule makes of each tensor: the arrays of all lists."""
        return [self._expected(row, c) for row, c in zip(self.arrays, self.coefficients)]

    def _expected(self, row, coefficients):
        if row[1] is None:
            return [a if a is None else a.copy() for a in row]
        found = list(row)
        with np.errstate(all="ignore"):
            for place, result in zip(self.update.written, self.results(row, coefficients)):
                found[place] = stored(result, row[place].dtype)
        return found

    def results(self, row, coefficients):
        """What the NumPy rule returns for a tensor."""
        compute = self.coefficients.dtype
        function = retarget(self.update.function, np, literal=compute.type)
        values = [row[i].astype(compute) for i in self.update.read]
        element = np.arange(row[0].size)
        values += [element + stream * STREAM for stream in self.update.random_streams]
        with np.errstate(all="ignore"):
            return function(*values, *coefficients)

    def check(self):
        """Run it, and fail unless every bit is the NumPy rule's."""
        expected = self.expected()
        self.run()
        for row, other in zip(self.arrays, expected):
            for i, (array, wanted) in enumerate(zip(row, other)):
                if array is not None:
                    what = f"{self.dtypes}, {array.size} elements, {self.update.lists[i]}"
                    assert_same_bits(array, wanted, what)


def stored(result, dtype):
    """Round as the documentation says: float64 goes to the 16-bit types by way of float32."""
    narrow = result.astype(np.float32) if dtype.itemsize == 2 else result
    return narrow.astype(dtype)


def _address(array):
    if array is None:
        return 0
    return array.ctypes.data if array.size else EMPTY
