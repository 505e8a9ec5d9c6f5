"""What some optimizers need besides steps: a mode to train and to evaluate in, and a Hessian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.demo import mlp
from gpuopt.demo.mlp import Array, Labels

HESSIAN_EVERY = 10
"""Steps from one estimate of the Hessian to the next."""


def train(optimizer: Any) -> None:
    """Make the parameters of a schedule-free optimizer those that gradients are taken at."""
    if hasattr(optimizer, "train"):
        optimizer.train()


def evaluate(optimizer: Any) -> None:
    """Make the parameters of a schedule-free optimizer the averages, to be evaluated."""
    if hasattr(optimizer, "eval"):
        optimizer.eval()


class HessianEstimate:
    """Gives SophiaG its estimates of the Hessian: Gauss-Newton-Bartlett's.

    They are the squares of gradients of the loss over labels that are drawn from the network's own
    predictions. Other optimizers get none.
    """

    def __init__(self, optimizer: Any, seed: int) -> None:
        """Take the optimizer, and the seed of the labels."""
        self._optimizer = optimizer if hasattr(optimizer, "update_hessian") else None
        self._rng = np.random.default_rng((seed, 1))  # the images have one of their own
        self._steps = 0

    def before_step(self, params: Sequence[Array], values: Sequence[Array]) -> None:
        """Update the Hessian in front of every `HESSIAN_EVERY`-th step, beginning with the first.

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
    """Return a label for each row, drawn with the probabilities that the logits stand for.

    The largest of the logits is that of the label, once each has its own noise of Gumbel's.
    """
    noise = np.asarray(rng.gumbel(size=logits.shape), like=logits)
    labels: Labels = (logits + noise).argmax(axis=1)
    return labels
