"""NVIDIA's disassemblers: those of Triton's wheel, or what the PATH has."""

from __future__ import annotations

import shutil
from functools import cache


@cache
def nvdisasm() -> str:
    """Return the path of what lists a program.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    return _tool("nvdisasm")


@cache
def cuobjdump() -> str:
    """Return the path of what says which resources a program takes.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    return _tool("cuobjdump")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is not None:
        return found
    try:
        import triton
    except ImportError:
        raise FileNotFoundError(
            f"{name} is neither on the PATH nor in Triton's wheel: pip install triton, "
            "or the CUDA toolkit"
        ) from None
    path: str = getattr(triton.knobs.nvidia, name).path
    return path
