"""How fast gpuopt means to be on a CPU: what is promised of Adam in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .ours import OURS
from .suite import Result


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        text: what is promised.
        measured: the number that speaks for it, or None where it was not measured.
        met: whether the number keeps the promise.
        show: the number as text.
    """

    text: str
    measured: Callable[[Sequence[Result]], float | None]
    met: Callable[[float], bool]
    show: Callable[[float], str]


def _faster(model: str, ours: str, peer: str, least: float) -> Target:
    def measured(results: Sequence[Result]) -> float | None:
        ratios = [r.ratio(ours, peer) for r in results if (r.case.name, r.model) == ("adam", model)]
        return ratios[0] if ratios else None

    text = f"adam on {model}: {ours} at least {least} x {peer}"
    return Target(text, measured, lambda ratio: ratio >= least, "{:.2f}".format)


def _least_of_copy(model: str) -> Target:
    def measured(results: Sequence[Result]) -> float | None:
        parts = [r.of_copy("numba") for r in results if (r.case.name, r.model) == ("adam", model)]
        return parts[0] if parts else None

    text = f"adam on {model}: numba within 10% of the copy loop's time"
    return Target(text, measured, lambda part: part >= 1 / 1.1, "{:.0%}".format)


def _most_extra(results: Sequence[Result]) -> float | None:
    extra = [r.extra.get(name) for r in results for name in OURS]
    return max((float(x) for x in extra if x is not None), default=None)


TARGETS = (
    _faster("16m", "numba", "torch fused", 1.0),
    _faster("gpt2", "numba", "torch fused", 1.0),
    _faster("resnet50", "numba", "torch fused", 1.3),
    _faster("tiny500", "numba", "torch fused", 8.0),
    _faster("16m", "numpy", "torch for-loop", 1.0),
    _faster("16m", "numpy", "textbook NumPy", 3.0),
    _least_of_copy("16m"),
    _least_of_copy("gpt2"),
    _least_of_copy("resnet50"),
    Target(
        "every rule and model: gpuopt's extra memory below 16 MiB",
        _most_extra,
        lambda extra: extra < 1 << 24,
        lambda extra: f"{extra / 2**20:.1f} MiB",
    ),
)
