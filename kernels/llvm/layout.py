"""How a table is cut into pieces, and what a compiled walk is given."""

from __future__ import annotations

CHUNK = 1 << 14
"""Elements of a chunk, small enough for a core's cache."""

LANES = 256
"""Lanes of a sum."""

TABLE = ("addresses", "sizes", "chunks", "coefficients", "partials", "tensors")
"""The numbers that a walk is given: five addresses, and the number of tensors."""
