"""NVIDIA's disassemblers: those of Triton's wheel, or what the PATH has."""

from __future__ import annotations

import shutil
from functools import cache


@cache
def tool(name: str) -> str:
    """Return the path of a tool; Triton's comes first, since it knows the newest GPUs.

    Raises:
        FileNotFoundError: it is nowhere.
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
