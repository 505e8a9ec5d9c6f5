"""Gradient accumulation: which backward passes update the parameters, and which only add up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXACT, MOMENTS = "exact", "moments"


class Accumulation:
    """Counts the gradients of each parameter, and asks the framework.

    Attributes:
        kind: `EXACT` or `MOMENTS`.
        asked: whether to accumulate; None lets the count and the framework decide.
        counts: for each parameter, its gradients since the last update.
    """

    def __init__(self, kind: str, steps: int) -> None:
        """Check the arguments.

        Args:
            kind: what the backward passes before the last of a batch do.
            steps: the number of backward passes in a batch.
        """
        if kind not in (EXACT, MOMENTS):
            raise ValueError(f"accumulation: expected 'exact' or 'moments', got {kind!r:.80}")
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise ValueError(
                f"accumulation_steps: expected an integer of at least 1, got {steps!r:.80}"
            )
        self.kind = kind
        self._steps = steps
        self.asked: bool | None = None
        self.counts: dict[int, int] = {}
        self._in_step = False
        self._updated = False

    def ask(self, value: bool | None) -> None:
        """Set `asked`.

        Raises:
            TypeError: it is neither a bool nor None.
        """
        if not (value is None or isinstance(value, bool)):
            raise TypeError(f"accumulating: expected True, False or None, got {value!r:.80}")
        self.asked = value

    def waits(self, i: int) -> bool:
        """Count a gradient of a parameter, and return whether its update has to wait."""
        self.counts[i] = self.counts.get(i, 0) + 1
        if self.asked is not None:
            waits = self.asked
        elif self._in_step:
            waits = False
        else:
            waits = _accelerate_waits() or self.counts[i] < self._steps
        if not waits:
            self.counts[i], self._updated = 0, True
        return waits

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Return a context for `step`, whose closure runs the last backward pass of a batch.

        Raises:
            RuntimeError: the previous backward pass was an update, too.
        """
        before, self._updated, self._in_step = self._updated, False, True
        try:
            yield
        finally:
            inside, self._updated, self._in_step = self._updated, False, False
        if before and inside:
            raise RuntimeError(
                "accumulation_steps: parameters were updated both before this step and in its "
                "closure; give StepInBackward the number of backward passes of a batch "
                "(Lightning's accumulate_grad_batches)"
            )


def _accelerate_waits() -> bool:
    """Whether Accelerate, possibly through Hugging Face's Trainer, is accumulating gradients."""
    module = sys.modules.get("accelerate.state")
    shared = getattr(getattr(module, "GradientState", None), "_shared_state", {})
    return not shared.get("sync_gradients", True)
