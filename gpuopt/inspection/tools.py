"""NVIDIA's disassemblers, from Triton's wheel or the PATH."""

from __future__ import annotations

import shutil
from functools import cache


@cache
def tool(name: str) -> str:
    """Return the path of a tool; Triton's is preferred, since it supports the newest GPUs.

    Raises:
        FileNotFoundError: it is not installed.
    """
    try:
        import triton
    except ImportError:
        found = shutil.which(name)
        if found is None:
            raise FileNotFoundError(
                f"{name} is neither in Triton's wheel nor on the PATH: pip install triton, "
                "or the CUDA toolkit"
            ) from None
        return found
    path: str = getattr(triton.knobs.nvidia, name).path
    return path
