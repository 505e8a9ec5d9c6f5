"""Calls that some optimizers need besides steps: train and eval modes, and Hessian estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.demo import mlp
from gpuopt.demo.mlp import Array, Labels

HESSIAN_EVERY = 10
"""The number of steps between estimates of the Hessian."""


def train(optimizer: Any) -> None:
    """Put a schedule-free optimizer into train mode, at the point for gradients."""
    if hasattr(optimizer, "train"):
        optimizer.train()


def evaluate(optimizer: Any) -> None:
    """Put a schedule-free optimizer into eval mode, at the averages."""
    if hasattr(optimizer, "eval"):
        optimizer.eval()


class HessianEstimate:
    """Gauss-Newton-Bartlett estimates of the Hessian for SophiaG.

    They are squared gradients of the loss with labels sampled from the network's own predictions.
    For other optimizers it does nothing.
    """

    def __init__(self, optimizer: Any, seed: int) -> None:
        """Store the optimizer, and the seed of the labels."""
        self._optimizer = optimizer if hasattr(optimizer, "update_hessian") else None
        self._rng = np.random.default_rng((seed, 1))  # the images have their own generator
        self._steps = 0

    def before_step(self, params: Sequence[Array], values: Sequence[Array]) -> None:
        """Update the Hessian before every `HESSIAN_EVERY`-th step, starting with the first.

        Args:
            params: the parameters.
            values: the result of `mlp.forward` for the images of the step.
        """
        if self._optimizer is None:
            return
        if self._steps % HESSIAN_EVERY == 0:
            labels = drawn_labels(values[-1], self._rng)
            self._optimizer.bs = len(labels)
            self._optimizer.update_hessian(mlp.backward(params, values, labels))
        self._steps += 1


def drawn_labels(logits: Array, rng: np.random.Generator) -> Labels:
    """Return a label for each row, sampled with the probabilities of the logits.

    Uses the Gumbel-max trick: the label has the largest logit after adding Gumbel noise.
    """
    noise = np.asarray(rng.gumbel(size=logits.shape), like=logits)
    labels: Labels = (logits + noise).argmax(axis=1)
    return labels
