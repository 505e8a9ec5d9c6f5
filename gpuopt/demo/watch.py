"""Watch a run for what can go wrong, and say so once, when it is no passing thing.

Norms have fixed limits. The gradient of the mean cross-entropy comes from probabilities less right
answers, whose norm is at most sqrt(2); where weights and images are well scaled, it stays of that
order in every layer.

How many warnings come true, `python -m benchmarks.warnings` measures.
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
PATIENCE = 8  # epochs for which something holds that may pass


@dataclass(frozen=True)
class Finding:
    """What was noticed, after which epoch, and in which layers, counted from 1.

    There are no layers where it concerns the network as a whole.
    """

    kind: str
    epoch: int
    layers: tuple[int, ...]
    message: str

    @property
    def where(self) -> str:
        """The layers in words."""
        numbers = ", ".join(map(str, self.layers))
        return f"layer{'s' if len(self.layers) > 1 else ''} {numbers}" if numbers else ""


def nonfinite(epochs: Sequence[Epoch]) -> Finding | None:
    """The training loss or a gradient is no longer a number."""
    now = epochs[-1]
    if now.finite:
        return None
    layers = layers_where(now, lambda norm: not isfinite(norm))
    return Finding(NAN, now.number, layers, f"training loss {now.train_loss}, training stops")


def exploding(epochs: Sequence[Epoch]) -> Finding | None:
    """A layer's gradient is far larger than the error, and training has made the loss worse."""
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
    """A layer has had next to no gradient for a while, with still much to learn."""
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
    """The test loss has been well above its lowest for a while, and the training loss has fallen.

    One epoch that comes near the lowest test loss again, and the while begins anew.
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
    """The layers, from 1, for whose norm it holds."""
    return tuple(layer for layer, norm in enumerate(epoch.gradient_norms, 1) if holds(norm))


class Watch:
    """Looks at one run after every epoch, and remembers what it has said already."""

    def __init__(self) -> None:
        """Begin before the run."""
        self._epochs: list[Epoch] = []
        self._said: set[tuple[str, int]] = set()

    def look(self, epoch: Epoch) -> Iterator[Finding]:
        """Yield what is new after this epoch: each kind once for each layer it is found in."""
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
