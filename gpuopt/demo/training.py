"""Train the network with one optimizer, and evaluate it after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from gpuopt.demo import mlp, modes
from gpuopt.demo.data import CLASSES, Digits, Split
from gpuopt.demo.mlp import Array
from gpuopt.demo.modes import HessianEstimate
from gpuopt.engine.stats import TensorStats

LOSS_OF_GUESSING = log(CLASSES)
quietly = np.errstate(all="ignore")  # divergence is a result here, not a warning


class Optimizer(Protocol):
    """The interface of an optimizer in the training loop."""

    @property
    def backend(self) -> str:
        """The name of the backend."""

    def step(self, grads: list[Array]) -> None:
        """Update the parameters in place."""

    def stats(self) -> Mapping[Any, TensorStats]:
        """Return the statistics of the last step for each array."""


@dataclass(frozen=True)
class Epoch:
    """The state after a number of passes over the training images; epoch 0 is the initial state.

    gradient_norms: for each layer, the norm of the gradient of the loss over all training images,
    weight and bias together, whatever the batch size.
    """

    number: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float
    gradient_norms: tuple[float, ...]

    @property
    def finite(self) -> bool:
        """Whether the training loss and all gradient norms are finite."""
        return isfinite(self.train_loss) and all(map(isfinite, self.gradient_norms))


@dataclass
class StepClock:
    """Times of optimizer steps alone, in seconds.

    Attributes:
        wait: synchronizes with the device.
        seconds: of each step.
    """

    wait: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)

    def step(self, optimizer: Optimizer, grads: list[Array]) -> None:
        """Take a step and record its time."""
        self.wait()
        start = perf_counter()
        optimizer.step(grads)
        self.wait()
        self.seconds.append(perf_counter() - start)

    @property
    def median(self) -> float:
        """The median time of a step, which a few interrupted steps do not affect."""
        return float(np.median(self.seconds)) if self.seconds else 0.0


def layer_norms(grads: Sequence[Array]) -> tuple[float, ...]:
    """Return the Euclidean norm of each layer's gradient, summed in float64."""
    return tuple(
        float(np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in layer)))
        for layer in mlp.by_layer(grads)
    )


@quietly
def measure(number: int, params: Sequence[Array], digits: Digits) -> Epoch:
    """Return losses, accuracies and gradient norms over all images."""
    train, test = digits.train, digits.test
    values = mlp.forward(params, train.images)
    test_logits = mlp.forward(params, test.images)[-1]
    return Epoch(
        number,
        mlp.cross_entropy(values[-1], train.labels),
        mlp.cross_entropy(test_logits, test.labels),
        mlp.accuracy(values[-1], train.labels),
        mlp.accuracy(test_logits, test.labels),
        layer_norms(mlp.backward(params, values, train.labels)),
    )


def batches(split: Split, batch_size: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield all images in batches, in a new random order; the last batch may be smaller."""
    order = np.asarray(rng.permutation(len(split)), like=split.labels)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        yield Split(split.images[chosen], split.labels[chosen])


@quietly
def pass_over(
    digits: Split,
    params: list[Array],
    optimizer: Optimizer,
    batch_size: int,
    rng: np.random.Generator,
    clock: StepClock,
    hessian: HessianEstimate,
) -> None:
    """Train for one epoch: one step per batch."""
    modes.train(optimizer)
    for batch in batches(digits, batch_size, rng):
        values = mlp.forward(params, batch.images)
        hessian.before_step(params, values)
        clock.step(optimizer, mlp.backward(params, values, batch.labels))
    modes.evaluate(optimizer)


def train(
    params: list[Array],
    optimizer: Optimizer,
    digits: Digits,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    clock: StepClock,
) -> Iterator[Epoch]:
    """Yield epoch 0, then every epoch when it ends; stop after one that is not finite.

    The order of the images depends only on the seed, so it is the same for every method.
    """
    rng = np.random.default_rng(seed)
    hessian = HessianEstimate(optimizer, seed)
    epoch = measure(0, params, digits)
    yield epoch
    while epoch.number < epochs and epoch.finite:
        pass_over(digits.train, params, optimizer, batch_size, rng, clock, hessian)
        epoch = measure(epoch.number + 1, params, digits)
        yield epoch
