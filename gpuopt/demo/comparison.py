"""Train the same network with several methods, from the same start, on the same data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gpuopt.demo import mlp, modes
from gpuopt.demo.data import CLASSES, Digits
from gpuopt.demo.device import wait_for
from gpuopt.demo.methods import Method
from gpuopt.demo.mlp import Array
from gpuopt.demo.training import LOSS_OF_GUESSING, Epoch, StepClock, train
from gpuopt.demo.watch import Finding, Watch
from gpuopt.engine.stats import TensorStats, together

TARGET_ACCURACY = 0.95
RISEN = 1.001  # more than the rounding of a constant loss


@dataclass(frozen=True)
class Settings:
    """The settings that all methods of a comparison share."""

    seed: int = 0
    epochs: int = 30
    batch_size: int = 32
    hidden: tuple[int, ...] = (64, 32)
    gain: float = 1.0
    stats: bool = False

    def sizes(self, digits: Digits) -> tuple[int, ...]:
        """Return the neurons of each layer, from the pixels to the classes."""
        return (digits.train.images.shape[1], *self.hidden, CLASSES)


@dataclass(frozen=True)
class Trial:
    """A method with a learning rate and a beta; None for the method's own."""

    method: Method
    lr: float | None = None
    beta: float | None = None

    @property
    def learning_rate(self) -> float:
        """The learning rate in use."""
        return self.method.lr if self.lr is None else self.lr


@dataclass(frozen=True)
class Result:
    """A finished trial."""

    trial: Trial
    batch_size: int
    backend: str
    epochs: tuple[Epoch, ...]
    findings: tuple[Finding, ...]
    clock: StepClock
    last_step: TensorStats | None = None
    """The statistics of the last step over all arrays."""

    @property
    def final(self) -> Epoch:
        """The state at the end."""
        return self.epochs[-1]

    @property
    def diverged(self) -> bool:
        """Whether it ended with NaN, or worse than guessing after the loss had risen."""
        losses = [epoch.train_loss for epoch in self.epochs]
        risen = any(after > RISEN * before for before, after in pairwise(losses))
        return not self.final.finite or (losses[-1] > LOSS_OF_GUESSING and risen)

    def epochs_to(self, accuracy: float = TARGET_ACCURACY) -> int | None:
        """Return the first epoch with this test accuracy, or None."""
        reached = (epoch.number for epoch in self.epochs if epoch.test_accuracy >= accuracy)
        return next(reached, None)


class Observer:
    """Callbacks for the progress of trials; this base class ignores them."""

    def started(self, trial: Trial) -> None:
        """Handle the start of a trial."""

    def epoch_ended(self, trial: Trial, epoch: Epoch) -> None:
        """Handle the end of an epoch."""

    def noticed(self, trial: Trial, finding: Finding) -> None:
        """Handle a warning."""

    def ended(self, trial: Trial) -> None:
        """Handle the end of a trial."""


SILENT = Observer()


def batch_size_of(method: Method, settings: Settings, digits: Digits) -> int:
    """Return the images per gradient: the method's own number, or the settings'."""
    own = method.batch_size
    return settings.batch_size if own is None else own or len(digits.train)


def warm_up(trial: Trial, params: Sequence[Array], stats: bool) -> None:
    """Step once with copies, so that compilation is not timed."""
    copies = [param.copy() for param in params]
    optimizer = trial.method.build(copies, trial.lr, trial.beta, stats)
    modes.train(optimizer)
    optimizer.step([np.zeros_like(p) for p in copies])


def run(trial: Trial, digits: Digits, settings: Settings, observer: Observer = SILENT) -> Result:
    """Train a new network, initialized from the seed; return the result with its warnings."""
    observer.started(trial)
    initial = mlp.initialise(settings.sizes(digits), settings.seed, settings.gain)
    params = [np.asarray(array, like=digits.train.images) for array in initial]
    warm_up(trial, params, settings.stats)
    optimizer = trial.method.build(params, trial.lr, trial.beta, settings.stats)
    batch_size = batch_size_of(trial.method, settings, digits)
    clock, watch = StepClock(wait_for(digits.train.images)), Watch()
    epochs: list[Epoch] = []
    findings: list[Finding] = []
    for epoch in train(
        params,
        optimizer,
        digits,
        epochs=settings.epochs,
        batch_size=batch_size,
        seed=settings.seed,
        clock=clock,
    ):
        epochs.append(epoch)
        observer.epoch_ended(trial, epoch)
        for finding in watch.look(epoch):
            findings.append(finding)
            observer.noticed(trial, finding)
    observer.ended(trial)
    return Result(
        trial,
        batch_size,
        optimizer.backend,
        tuple(epochs),
        tuple(findings),
        clock,
        together(list(optimizer.stats().values())) if settings.stats else None,
    )


def run_all(
    trials: Iterable[Trial], digits: Digits, settings: Settings, observer: Observer = SILENT
) -> Iterator[Result]:
    """Run the trials one by one; yield each result when it is finished."""
    for trial in trials:
        yield run(trial, digits, settings, observer)
