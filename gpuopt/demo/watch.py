"""Warnings of problems in a training run, each issued once, when the problem persists.

The limits of gradient norms are fixed: the gradient of the mean cross-entropy starts from
probabilities minus one-hot labels, with a norm of at most sqrt(2), and with well scaled weights and
images it stays of that order in every layer.

`python -m benchmarks.warnings` measures how many warnings are correct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from gpuopt.demo.training import LOSS_OF_GUESSING, Epoch

NAN, EXPLODING, VANISHING, OVERFITTING = (
    *("NaN", "exploding gradient"),
    *("vanishing gradient", "overfitting"),
)
EXPLODED, VANISHED = 30.0, 1e-3
STILL_HIGH = 0.5 * LOSS_OF_GUESSING
OVERFITTED = 1.1  # times the lowest test loss
PATIENCE = 8  # epochs that a problem must persist


@dataclass(frozen=True)
class Finding:
    """A warning, with its epoch and its layers, counted from 1.

    ``layers`` is empty if it concerns the whole network.
    """

    kind: str
    epoch: int
    layers: tuple[int, ...]
    message: str

    @property
    def where(self) -> str:
        """The layers as text."""
        numbers = ", ".join(map(str, self.layers))
        return f"layer{'s' if len(self.layers) > 1 else ''} {numbers}" if numbers else ""


def nonfinite(epochs: Sequence[Epoch]) -> Finding | None:
    """Find a training loss or a gradient that is not finite."""
    now = epochs[-1]
    if now.finite:
        return None
    layers = layers_where(now, lambda norm: not isfinite(norm))
    return Finding(NAN, now.number, layers, f"training loss {now.train_loss}, training stops")


def exploding(epochs: Sequence[Epoch]) -> Finding | None:
    """Find layers with far too large a gradient, after the training loss has risen."""
    now = epochs[-1]
    if not now.train_loss > epochs[0].train_loss:
        return None
    layers = layers_where(now, lambda norm: isfinite(norm) and norm > EXPLODED)
    message = (
        f"gradient norm above {EXPLODED:g}, with the training loss at {now.train_loss:.3g}, "
        f"up from {epochs[0].train_loss:.3g} before training"
    )
    return Finding(EXPLODING, now.number, layers, message) if layers else None


def vanishing(epochs: Sequence[Epoch]) -> Finding | None:
    """Find layers with almost no gradient for `PATIENCE` epochs, while the loss stays high."""
    now, recent = epochs[-1], epochs[-PATIENCE:]
    if len(recent) < PATIENCE or not all(e.train_loss > STILL_HIGH for e in recent):
        return None
    small = (set(layers_where(epoch, lambda norm: norm < VANISHED)) for epoch in recent)
    layers = tuple(sorted(set.intersection(*small)))
    message = (
        f"gradient norm below {VANISHED:g} for {PATIENCE} epochs, "
        f"with the training loss still at {now.train_loss:.3g}"
    )
    return Finding(VANISHING, now.number, layers, message) if layers else None


def overfitting(epochs: Sequence[Epoch]) -> Finding | None:
    """Find a test loss well above its lowest for `PATIENCE` epochs, with a lower training loss.

    An epoch near the lowest test loss restarts the count.
    """
    now, best = epochs[-1], min(epochs, key=lambda epoch: epoch.test_loss)
    if now.number - best.number < PATIENCE or not now.train_loss < best.train_loss:
        return None
    if not all(epoch.test_loss > OVERFITTED * best.test_loss for epoch in epochs[-PATIENCE:]):
        return None
    message = (
        f"test loss {now.test_loss:.3g}, for {PATIENCE} epochs more than {OVERFITTED:g} times "
        f"the {best.test_loss:.3g} of epoch {best.number}, "
        f"while the training loss fell from {best.train_loss:.2g} to {now.train_loss:.2g}"
    )
    return Finding(OVERFITTING, now.number, (), message)


CHECKS = (nonfinite, exploding, vanishing, overfitting)


def layers_where(epoch: Epoch, holds: Callable[[float], bool]) -> tuple[int, ...]:
    """Return the layers, from 1, whose norm satisfies a condition."""
    return tuple(layer for layer, norm in enumerate(epoch.gradient_norms, 1) if holds(norm))


class Watch:
    """Checks a run after every epoch, and issues each warning only once."""

    def __init__(self) -> None:
        """Create it before the run."""
        self._epochs: list[Epoch] = []
        self._said: set[tuple[str, int]] = set()

    def look(self, epoch: Epoch) -> Iterator[Finding]:
        """Yield the new warnings after an epoch: each kind once per layer."""
        self._epochs.append(epoch)
        for check in CHECKS:
            finding = check(self._epochs)
            if finding and (news := self._news(finding)):
                yield news

    def _news(self, finding: Finding) -> Finding | None:
        places = finding.layers or (0,)
        fresh = [place for place in places if (finding.kind, place) not in self._said]
        self._said.update((finding.kind, place) for place in fresh)
        layers = tuple(place for place in fresh if place)
        return replace(finding, layers=layers) if fresh else None
