"""The kernels of both compilers over a table of arrays, with everything that is counted."""

import re
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from gpuopt.kernels.cuda.source import CHUNK, OPTIONS, UPDATE

from tests.cuda_c.tables import Walk, drawn
from tests.helpers.layouts import Layout, Placed

from .memory import Region, only
from .run import backwards, kernels

DYNAMIC = 1 << 10
"""Bytes of shared memory that a launch asks for; Triton's kernels say how many they need."""

SIZES = [CHUNK - 1, CHUNK, 2 * CHUNK + 37, 1, 100]
"""Of tensors: around whole chunks, and small ones."""


@cache
def ptx_of(case):
    """Return the PTX of a case, as its backend's compiler makes it, for no GPU."""
    if case.backend == "cupy":
        from gpuopt.inspection.cuda_code import source_of
        from gpuopt.inspection.nvrtc import compile_for

        return compile_for(source_of(case), case.arch, OPTIONS).ptx
    import triton
    from triton.backends.compiler import GPUTarget

    from gpuopt.inspection.triton_code import kernel_of

    kernel, target = kernel_of(case), GPUTarget("cuda", case.arch, 32)
    return triton.compile(kernel.source, target=target, options=kernel.options).asm["ptx"]


def replaced(pattern, by, count=1):
    """Return what replaces the first places of a pattern, or all with a count of 0."""
    return lambda text: re.sub(pattern, by, text, count=count)


@dataclass
class SimulatedWalk(Walk):
    """A launch of the update's kernel on the simulated device.

    Attributes:
        text: the PTX.
        threads: of a block.
        reverse: whether blocks and threads run from the last to the first.
        skip: what skips the step, unless it is 0.
        regions: of each tensor, one of each list; counted.
    """

    text: str = ""
    threads: int = 0
    reverse: bool = False
    skip: float = 0.0
    regions: list = field(default_factory=list)

    @property
    def counted(self):
        """All regions of all lists."""
        return [region for row in self.regions for region in row]

    def launch(self, addresses, sizes, chunks):
        """Launch it over a table; nothing else may be touched."""
        kernel = kernels(self.text)[UPDATE]
        written = self.update.written
        self.regions = [
            [Region.of(a, i in written, counted=True) for i, a in enumerate(row) if a is not None]
            for row in self.arrays
        ]
        go = np.full(1, self.skip, np.float32)
        self.partials = np.full((len(chunks), len(self.update.watched_names), 3), np.nan)
        table = (addresses, sizes, chunks, self.coefficients, go)
        arrays = (*table, self.partials)
        numbers = [*(a.ctypes.data for a in arrays), len(sizes), 0, 0]
        values = [n.to_bytes(size, "little") for n, size in zip(numbers, kernel.sizes)]
        allowed = [*(Region.of(a, writable=False) for a in table), *self.counted]
        allowed.append(Region.of(self.partials))
        backwards(self.reverse)
        try:
            with only(allowed):
                kernel.launch(len(chunks), self.threads, values, shared=DYNAMIC)
        finally:
            backwards(False)

    def check_counts(self, floor):
        """Fail unless every byte was loaded once, and stored once where it is written."""
        for row in filter(lambda row: row[1] is not None, zip(self.arrays, self.regions)):
            self._check_row(*row)
        n = sum(row[0].size for row in self.arrays if row[1] is not None)
        moved = sum(int(r.loads.sum()) + int(r.stores.sum()) for r in self.counted)
        assert moved == floor * n, f"{moved / n} bytes an element, where {floor} would do"

    def _check_row(self, arrays, regions):
        for i, (array, region) in enumerate(zip(arrays, regions)):
            if any(a is None for a in arrays):
                assert not region.loads.any() and not region.stores.any(), "a tensor that rests"
                continue
            what = f"{self.update.lists[i]} of {array.size} elements"
            assert (region.loads == (i in self.update.read)).all(), f"{what} is not loaded once"
            assert (region.stores == (i in self.update.written)).all(), f"{what}: its stores"


def walk_of(case, sizes, text="", reverse=False, rest=False, kind="mixed"):
    """Return a walk over new arrays of some sizes.

    Args:
        case: the kernel.
        sizes: of the tensors.
        text: other PTX than the case's.
        reverse: whether blocks and threads run from the last to the first.
        rest: whether the last tensor has no gradient.
        kind: of the values.
    """
    rows = drawn(case.walked, case.list_dtypes, sizes, kind)
    shift = Layout(shift=0 if case.vectors else 8)
    rows = [[Placed(array, shift).array for array in row] for row in rows]
    if rest:
        rows[-1][1] = None
    threads = 256 if case.backend == "cupy" else 128
    return SimulatedWalk(
        case.walked,
        case.list_dtypes,
        case.vectors,
        rows,
        text=text or ptx_of(case),
        threads=threads,
        reverse=reverse,
    )
