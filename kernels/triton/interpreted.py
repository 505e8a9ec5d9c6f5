"""Whether kernels run in Triton's interpreter, which uses NumPy instead of a GPU."""

from __future__ import annotations

import os

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run in Triton's interpreter, on the CPU."""
