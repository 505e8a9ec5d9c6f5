"""Names of dtypes and architectures on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import FLOATS
from ..rules.formats import IN_8_BITS

ALIASES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
"""Short names of dtypes that are accepted; the output uses the long ones."""


def dtype_of(text: str) -> str:
    """Return the dtype of a name.

    Raises:
        ValueError: it is not the name of a dtype.

    >>> dtype_of("bf16"), dtype_of("float32")
    ('bfloat16', 'float32')
    """
    name = ALIASES.get(text, text)
    if name not in (*FLOATS, IN_8_BITS):
        raise ValueError(text)
    return name


def arch_of(text: str, known: Sequence[int]) -> int:
    """Return an architecture: ``sm_90``, or ``90``.

    Raises:
        ValueError: it is not a known architecture.

    >>> arch_of("sm_90", [80, 90]), arch_of("80", [80, 90])
    (90, 80)
    """
    digits = text.removeprefix("sm_")
    names = [str(arch) for arch in known]
    return known[names.index(digits)]


def arch_text(arch: int) -> str:
    """Return the name of an architecture.

    >>> arch_text(90)
    'sm_90'
    """
    return f"sm_{arch}"
