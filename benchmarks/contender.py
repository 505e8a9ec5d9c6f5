"""The type of a contender: an optimizer, of gpuopt or of a peer, that is timed."""

from __future__ import annotations

from collections.abc import Callable

from .buffers import SharedBuffers
from .cases import Case
from .step import Step

Contender = Callable[[Case, SharedBuffers], Step]
"""Returns the step of a rule over the buffers, or raises `Unavailable`."""
