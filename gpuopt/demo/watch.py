"""Watch a run for what can go wrong, and say so once, as soon as it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from gpuopt.demo.training import Epoch

EXPLODED = 100.0  # times the gradient's norm before training
VANISHED = 1e-3
STILL_HIGH = 0.5  # times the training loss before training
OVERFITTED = 1.1  # times the lowest test loss
PATIENCE = 3  # epochs since that lowest test loss


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
    layers = layers_where(epochs, lambda norm, _: not isfinite(norm))
    return Finding("NaN", now.number, layers, f"training loss {now.train_loss}, training stops")


def exploding(epochs: Sequence[Epoch]) -> Finding | None:
    """A layer's gradient has grown far beyond what it was before training."""
    layers = layers_where(epochs, lambda norm, start: isfinite(norm) and norm > EXPLODED * start)
    message = f"gradient more than {EXPLODED:g} times its norm before training"
    return Finding("exploding gradient", epochs[-1].number, layers, message) if layers else None


def vanishing(epochs: Sequence[Epoch]) -> Finding | None:
    """A layer's gradient has all but gone while there is still much to learn."""
    now, start = epochs[-1], epochs[0]
    if not now.train_loss > STILL_HIGH * start.train_loss:
        return None
    layers = layers_where(epochs, lambda norm, start: norm < VANISHED * start)
    message = (
        f"gradient below {VANISHED:g} times its norm before training, "
        f"with the training loss still at {now.train_loss:.3g}"
    )
    return Finding("vanishing gradient", now.number, layers, message) if layers else None


def overfitting(epochs: Sequence[Epoch]) -> Finding | None:
    """The test loss has risen from its lowest, while the training loss went on falling."""
    now, best = epochs[-1], min(epochs, key=lambda epoch: epoch.test_loss)
    risen = now.test_loss > OVERFITTED * best.test_loss and now.train_loss < best.train_loss
    if not risen or now.number - best.number < PATIENCE:
        return None
    message = (
        f"test loss {now.test_loss:.3g}, up from {best.test_loss:.3g} in epoch {best.number}, "
        f"while the training loss fell from {best.train_loss:.2g} to {now.train_loss:.2g}"
    )
    return Finding("overfitting", now.number, (), message)


CHECKS = (nonfinite, exploding, vanishing, overfitting)


def layers_where(epochs: Sequence[Epoch], holds: Callable[[float, float], bool]) -> tuple[int, ...]:
    """The layers, from 1, for which holds(norm now, norm before training)."""
    pairs = zip(epochs[-1].gradient_norms, epochs[0].gradient_norms, strict=True)
    return tuple(layer for layer, norms in enumerate(pairs, 1) if holds(*norms))


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
