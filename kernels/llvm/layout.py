"""The sizes of a table's pieces, and the argument structure of a compiled walk."""

from __future__ import annotations

CHUNK = 1 << 14
"""Elements of a chunk, small enough for a core's cache."""

LANES = 256
"""Lanes of a sum."""

TABLE = ("addresses", "sizes", "chunks", "coefficients", "partials", "tensors")
"""The fields of a walk's argument: five addresses, and the number of tensors."""
