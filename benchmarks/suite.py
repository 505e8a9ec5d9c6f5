"""One rule on one model: who computes it, how fast, beside whom, with how much memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .arena import Arena
from .cases import Case
from .check import same_formula
from .contender import Maker, Step, Unavailable
from .copyloop import copy_loop
from .memory import extra_bytes
from .models import Shapes, elements
from .ours import OURS
from .timing import Timing, interleaved

COPY = "copy loop"


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        case: the rule.
        model: the name of the model.
        shapes: its tensors.
        timings: by contender, the copy loop first where there is one.
        extra: by contender, bytes beyond parameters, gradients and states; None: not known.
        dropped: who was not timed, and why.
    """

    case: Case
    model: str
    shapes: Shapes
    timings: Mapping[str, Timing]
    extra: Mapping[str, int | None]
    dropped: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """The floor of memory traffic of one step."""
        return self.case.rule.bytes_per_element() * elements(self.shapes)

    def gigabytes_per_second(self, name: str) -> float:
        """Return the floor of bytes over the contender's time."""
        return self.bytes / self.timings[name].median / 1e9

    def of_copy(self, name: str) -> float | None:
        """Return the speed as a part of the copy loop's."""
        return self.ratio(name, COPY)

    def ratio(self, name: str, other: str) -> float | None:
        """Return how many times as fast as ``other`` a contender is; None without one of them."""
        if name not in self.timings or other not in self.timings:
            return None
        return self.timings[name].ratio(self.timings[other])


def check_all(
    case: Case, makers: Mapping[str, Maker], reference: Maker = OURS["numpy"]
) -> dict[str, str]:
    """Return who does not compute the rule, and why; whoever fails does not stop the others."""
    dropped = {}
    for name, maker in makers.items():
        try:
            problem = same_formula(case, maker, reference)
        except Unavailable as error:
            problem = str(error)
        except Exception as error:  # a broken peer: anything may be wrong with it
            problem = f"failed: {type(error).__name__}: {error}"
        if problem is not None:
            dropped[name] = problem
    return dropped


def measure(
    case: Case, model: str, shapes: Shapes, makers: Mapping[str, Maker], rounds: int
) -> Result:
    """Check all contenders, then measure the memory and the time of those that are right.

    Args:
        case: the rule.
        model: the name of the model.
        shapes: its tensors.
        makers: the contenders by name, gpuopt's first.
        rounds: how many samples of each.
    """
    dropped = check_all(case, makers)
    arena = Arena(shapes, case.rule.states)
    steps: dict[str, Step] = {}
    extra: dict[str, int | None] = {}
    for name, maker in makers.items():
        if name not in dropped:
            steps[name] = maker(case, arena)
            extra[name] = extra_bytes(steps[name])
    try:
        steps = {COPY: copy_loop(case, arena), **steps}
    except Unavailable as error:
        dropped[COPY] = str(error)
    return Result(case, model, shapes, interleaved(steps, rounds), extra, dropped)
