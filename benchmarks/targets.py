"""gpuopt's speed targets on a CPU, and which of them a run met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cases import OTHERS
from .lines import Group, Line


@dataclass(frozen=True)
class Target:
    """A minimum speedup over a peer.

    Attributes:
        model: the model.
        rules: the rules; the slowest measured one counts.
        ours: gpuopt's contender.
        peer: the peer, ``"copy"``, ``"torch"`` for torch's fastest form, or ``"any peer"``.
        least: the minimum speedup.
        suite: the suite that measures it.
        dtype: of parameters and gradients.
    """

    model: str
    rules: tuple[str, ...]
    ours: str
    peer: str
    least: float
    suite: str = "update"
    dtype: str = "float32"

    def measured(self, groups: Iterable[Group]) -> float | None:
        """Return the lowest measured speedup, or None."""
        found = []
        for group in groups:
            place = group.place
            wanted = (self.suite, self.dtype, self.model)
            if (place.suite, place.dtype, place.model) == wanted and place.rule in self.rules:
                line = group.line(self.ours)
                ratio = line and _ratio(line, self.peer)
                if ratio:
                    found.append(ratio)
        return min(found, default=None)

    def __str__(self) -> str:
        """Return the target as text."""
        rules = self.rules[0] if len(self.rules) == 1 else f"{self.rules[0]}, ..."
        where = "" if self.suite == "update" else f"{self.suite}, {self.dtype}, "
        minimum = f"{self.ours} at least {self.least:.2g} x {self.peer}"
        return f"{where}{rules} on {self.model}: {minimum}"


def _ratio(line: Line, peer: str) -> float | None:
    if peer == "copy":
        return line.of_copy
    if peer == "torch":
        forms = ("torch fused", "torch foreach", "torch for-loop")
        ratios = (line.times_as_fast_as[f] for f in forms if f in line.times_as_fast_as)
        return min(ratios, default=None)
    if peer == "any peer":
        return min(line.times_as_fast_as.values(), default=None)
    return line.times_as_fast_as.get(peer)


_ADAM = ("adam",)
_FUSED = ("momentum", "adam", "adamw", "adagrad")
_OTHERS = ("rmsprop", "adadelta", "adamax", "nadam", "radam", "rprop", "asgd")
"""The rules with a fused kernel in torch, and those without."""

_TAIL = "gpuopt, drop-in"

TARGETS = (
    Target("gpt2", _ADAM, _TAIL, "torch calls", 1.3, "tail"),
    Target("resnet50", _ADAM, _TAIL, "torch calls", 1.6, "tail"),
    Target("gpt2", _ADAM, _TAIL, "torch calls", 1.5, "tail", "bfloat16"),
    Target("resnet50", _ADAM, _TAIL, "torch calls", 1.5, "tail", "bfloat16"),
    Target(
        "gpt2, whole tail", ("adamw",), "split8, 8bit", "torch calls", 2.0, "storage", "bfloat16"
    ),
    Target("16m", _ADAM, "llvm", "torch fused", 1.0),
    Target("gpt2", _ADAM, "llvm", "torch fused", 1.0),
    Target("resnet50", _ADAM, "llvm", "torch fused", 1.3),
    Target("tiny500", _ADAM, "llvm", "torch fused", 8.0),
    Target("16m", _ADAM, "numpy", "torch for-loop", 1.0),
    Target("16m", _ADAM, "numpy", "textbook NumPy", 3.0),
    *(Target(model, _ADAM, "llvm", "copy", 1 / 1.1) for model in ("16m", "gpt2", "resnet50")),
    *(
        Target("gpt2", (rule,), _TAIL, peer, least, "references")
        for rule in OTHERS
        for peer, least in (("copy", 0.9), ("any peer", 3.0))
    ),
    *(
        Target(model, rules, "llvm, drop-in", "torch", least)
        for model, of_fused, of_others in (
            ("gpt2", 1.0, 3.0),
            ("resnet50", 1.5, 5.0),
            ("tiny500", 5.0, 5.0),
        )
        for rules, least in ((_FUSED, of_fused), (_OTHERS, of_others))
    ),
)


def rows(groups: Sequence[Group]) -> list[tuple[str, str, str]]:
    """Return a row for each measured target: met or missed."""
    found = []
    for target in TARGETS:
        measured = target.measured(groups)
        if measured is not None:
            met = "met" if measured >= target.least else "missed"
            found.append((str(target), f"{measured:.2f}", met))
    return found
