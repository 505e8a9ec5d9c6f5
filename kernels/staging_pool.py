"""Pinned memory for graphs, allocated in advance, since a capture must not allocate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

READY = 4
"""The number of steps that can be captured between two ordinary ones: each keeps a buffer."""


class StagingPool:
    """Pinned staging buffers for graphs that are being captured.

    A taken buffer belongs to its graph, which copies from it at every replay.

    Attributes:
        ready: the buffers that captures may take.
        taken: the buffers that graphs copy from.
    """

    def __init__(self, new: Callable[[], Any]) -> None:
        """Fill the pool; ``new`` allocates a buffer."""
        self._new = new
        self.ready: list[Any] = []
        self.taken: list[Any] = []
        self.fill()

    def fill(self) -> None:
        """Allocate until `READY` buffers are ready."""
        while len(self.ready) < READY:
            self.ready.append(self._new())

    def take(self) -> Any:
        """Return a buffer for a graph.

        Raises:
            RuntimeError: there is none left.
        """
        if not self.ready:
            raise RuntimeError(
                f"more than {READY} steps were captured since the last ordinary step: "
                "take one between"
            )
        self.taken.append(self.ready.pop())
        return self.taken[-1]
