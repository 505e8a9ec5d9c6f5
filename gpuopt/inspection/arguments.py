"""The arguments of the kernels, which are the same for every compiler except for type names."""

from __future__ import annotations

from ..kernels.storage import compute_dtype
from ..kernels.table import SUBTOTAL_ROWS

MEANINGS = {
    "addresses": "[n_lists, n_tensors], row-major: the addresses of the arrays of each list; "
    "a tensor whose gradient is at 0 is not updated",
    "sizes": "[n_tensors]: elements of each tensor",
    "chunks": "[n_chunks, 2], row-major: a tensor, and the index of one of its chunks",
    "coefficients": "[n_tensors, n_coefficients], row-major",
    "skip": "one number: unless it is 0, the launch changes nothing",
    "partials": "[n_chunks, n_watched, 3], row-major: for each chunk and watched value, the sum of "
    "squares, the largest absolute value and the number of elements that are not finite",
    "n_tensors": "the number of tensors",
    "steps": "[n_tensors]: the step count of each tensor; incremented by the kernel",
    "carried": "[n_tensors, n_carried], row-major: numbers that each tensor carries from step to "
    "step; updated by the kernel",
    "groups": "[n_tensors]: the group of each tensor",
    "options": "[n_groups, n_options], row-major",
    "firsts": "[n_tensors + 1]: the first row of partials of each tensor, and behind them their "
    "number",
    "subtotals": "[ceil(n_rows / rows of a block), 3], row-major: partials, too",
    "given": "one number: unless it is 0, the step is skipped",
    "total": "[3]: the partials of everything",
    "skipped": "one number: how many steps were skipped",
    "n_rows": "the number of rows of partials",
    "how": "a sum of flags: 1, overwrite the total; 2, write `skip`, and count a skipped step; 4, "
    "skip the step if a gradient is not finite",
    "n_sums": "the number of sums, which are the last numbers of their rows",
    "n_carried": "the length of a row of `carried`",
    "row": "numbers of a row of partials",
    "step": "numbers from one sum of a row of partials to the next",
}
"""Descriptions, for launching the kernels without gpuopt."""

POINTERS = {"int32": "int*", "int64": "long long*", "float32": "float*", "float64": "double*"}
"""The C type of an array."""

_ARRAYS = {
    "update": ("addresses", "sizes", "chunks", "coefficients", "skip", "partials"),
    "coefficients": (
        *("addresses", "steps", "carried", "groups", "options", "coefficients", "skip"),
    ),
    "sums": ("partials", "firsts", "carried"),
    "subtotals": ("partials", "subtotals"),
    "total": ("partials", "given", "total", "skip", "skipped"),
}

NUMBERS = {
    "update": ("n_tensors",),
    "coefficients": ("n_tensors",),
    "sums": ("n_sums", "n_carried", "row", "step", "n_tensors"),
    "subtotals": ("n_rows",),
    "total": ("n_rows", "how"),
}
"""The numbers behind the arrays; those of ``"sums"`` are constants in Triton."""

_DTYPES = {
    "chunks": "int32",
    "carried": "float64",
    "options": "float64",
    "partials": "float64",
    "subtotals": "float64",
    "total": "float64",
    "skip": "float32",
    "given": "float32",
}


def arrays_of(kernel: str, param: str = "float32") -> dict[str, str]:
    """Return the arrays that a kernel takes, in order, with their dtypes.

    Args:
        kernel: as in `Case`.
        param: the dtype of parameters; coefficients have the one that is computed in.
    """
    dtypes = {**_DTYPES, "coefficients": compute_dtype(param)}
    return {name: dtypes.get(name, "int64") for name in _ARRAYS[kernel]}


def grid_of(kernel: str, threads: int) -> str:
    """Return the number of blocks of a launch, of so many threads, as an expression."""
    grids = {
        "update": "n_chunks",
        "sums": "n_tensors",
        "subtotals": f"ceil(n_rows / {SUBTOTAL_ROWS})",
        "total": "1",
    }
    return grids.get(kernel, f"ceil(n_tensors / {threads})")


def elements_of(kernel: str, chunk: int, threads: int) -> int:
    """Return what a block has: elements of a chunk, tensors, or rows of partials (0: all)."""
    own = {"update": chunk, "sums": 1, "subtotals": SUBTOTAL_ROWS, "total": 0}
    return own.get(kernel, threads)
