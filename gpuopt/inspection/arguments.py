"""The arguments of the kernels, which are the same for every compiler except for type names."""

from __future__ import annotations

from ..kernels.storage import compute_dtype
from .cases import Case

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
}
"""Descriptions, for launching the kernels without gpuopt."""

POINTERS = {"int32": "int*", "int64": "long long*", "float32": "float*", "float64": "double*"}
"""The C type of an array."""

_ARRAYS = {
    "update": ("addresses", "sizes", "chunks", "coefficients", "skip", "partials"),
    "coefficients": (
        *("addresses", "steps", "carried", "groups", "options", "coefficients", "skip"),
    ),
}

_DTYPES = {
    "chunks": "int32",
    "carried": "float64",
    "options": "float64",
    "partials": "float64",
    "skip": "float32",
}


def arrays_of(case: Case) -> dict[str, str]:
    """Return the arrays that a kernel takes, in order, with their dtypes.

    The number of tensors follows them.
    """
    dtypes = {**_DTYPES, "coefficients": compute_dtype(case.dtypes[0])}
    return {name: dtypes.get(name, "int64") for name in _ARRAYS[case.kernel]}
