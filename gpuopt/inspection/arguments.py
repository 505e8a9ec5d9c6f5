"""The arguments of the kernels: the same for every compiler but for how it spells types."""

from __future__ import annotations

from ..kernels.storage import compute_dtype
from .cases import Case

MEANINGS = {
    "addresses": "[n_lists, n_tensors], row-major: where the arrays of each list lie; "
    "a gradient at 0 is none, and its tensor rests",
    "sizes": "[n_tensors]: elements of each tensor",
    "chunks": "[n_chunks, 2], row-major: a tensor, and which of its chunks",
    "coefficients": "[n_tensors, n_coefficients], row-major",
    "skip": "one number: unless it is 0, the launch changes nothing",
    "partials": "[n_chunks, n_watched, 3], row-major: of each chunk, the sum of squares, the "
    "largest absolute value and the count of what is not finite; nothing where nothing is watched",
    "n_tensors": "the number of tensors",
    "steps": "[n_tensors]: updates that each tensor has had; counted up by the kernel",
    "carried": "[n_tensors, n_carried], row-major: what each tensor carries from step to step; "
    "brought on by the kernel",
    "groups": "[n_tensors]: the group of each tensor",
    "options": "[n_groups, n_options], row-major",
}
"""What each is, for those who launch the kernels without gpuopt."""

POINTERS = {"int32": "int*", "int64": "long long*", "float32": "float*", "float64": "double*"}
"""An array in C."""

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

    The number of tensors comes behind them.
    """
    dtypes = {**_DTYPES, "coefficients": compute_dtype(case.dtypes[0])}
    return {name: dtypes.get(name, "int64") for name in _ARRAYS[case.kernel]}
