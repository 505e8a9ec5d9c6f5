"""The host cost of one group per parameter, as with layer-wise learning rates.

The time is the CPU time of all threads. A step with changed learning rates includes a
scheduler's assignments.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import gpuopt

from ..buffers import import_torch, new_params
from ..lines import Group, Line, Place
from ..measure import attempt, timed
from ..models import Shapes, elements
from ..peers.torch_optim import FORMS
from ..step import Step
from ..timing import HostClock, interleaved
from . import Settings
from .tail import TOLERANCE

SHAPES: Shapes = ((16, 16),) * 465
ARRAYS, DROP_IN = "gpuopt, arrays", "gpuopt, drop-in"
LR = 1e-3


def run(settings: Settings) -> Iterator[Group]:
    """Yield the timings of many groups with and without changed rates, and of a single group."""
    many = len(SHAPES)
    for groups, changes in ((many, True), (many, False), (1, True)):
        what = f"{groups} group{'s' * (groups > 1)}, {'every' if changes else 'no'} lr changes"
        place = Place("groups", "adam", "float32", what, settings.device)
        found, error = attempt(lambda g=groups, c=changes: _timings(g, c, settings))
        gc.collect()
        if error:
            yield Group(place, [], dict.fromkeys((ARRAYS, DROP_IN), error))
            continue
        lines = [
            Line(
                place,
                name,
                ours=name in (ARRAYS, DROP_IN),
                tensors=len(SHAPES),
                elements=elements(SHAPES),
                **timed(name, found, None, {ARRAYS, DROP_IN}),
            )
            for name in found
        ]
        yield Group(place, lines, {}, ["processor time of all threads"])


def _timings(groups: int, changes: bool, settings: Settings) -> dict[str, Any]:
    made = {
        name: make(groups, settings.device) for name, make in contenders(settings.peers).items()
    }
    check(made)
    steps = {name: Step(each.changed if changes else each.step) for name, each in made.items()}
    return interleaved(steps, settings.rounds, HostClock(processor=True))


def contenders(peers: Sequence[str]) -> dict[str, Callable[[int, str], GroupedAdam]]:
    """Return a constructor for each, which takes the number of groups and the device."""

    def of_torch(form: str) -> Callable[[int, str], GroupedAdam]:
        return lambda groups, device: TorchAdam(groups, device, **FORMS[form])

    theirs = {form: of_torch(form) for form in FORMS if form in peers}
    return {ARRAYS: Arrays, DROP_IN: DropIn, **theirs}


class GroupedAdam:
    """Adam over parameters in groups.

    Attributes:
        params: the parameters, as torch tensors.
        groups: the optimizer's ``param_groups``.
        step: takes a step.
    """

    params: list[Any]
    groups: Sequence[Any]
    step: Callable[[], object]

    def __init__(self, groups: int, device: str) -> None:
        """Create the parameters and their gradients."""
        self.params = new_params(SHAPES, "float32", device)
        self._count = count(1)

    def changed(self) -> None:
        """Change the learning rate of every group, then step."""
        factor = 1.0 + 1e-3 * (next(self._count) % 100)
        for i, group in enumerate(self.groups):
            group["lr"] = (LR + 1e-6 * i) * factor
        self.step()


class Arrays(GroupedAdam):
    """gpuopt over plain arrays: NumPy arrays on the CPU, torch tensors on a device."""

    def __init__(self, groups: int, device: str) -> None:
        """Create the optimizer."""
        super().__init__(groups, device)
        plain = [_plain(p) for p in self.params]
        grads = _parts([_plain(p.grad) for p in self.params], groups)
        optimizer = gpuopt.Adam([{"params": part} for part in _parts(plain, groups)], LR)
        self.groups = optimizer.param_groups
        self.step = lambda: optimizer.step(grads)


class DropIn(GroupedAdam):
    """gpuopt's drop-in for torch.optim."""

    def __init__(self, groups: int, device: str) -> None:
        """Create the optimizer."""
        import gpuopt.torch

        super().__init__(groups, device)
        self._take(gpuopt.torch.Adam(_grouped(self.params, groups), LR))

    def _take(self, optimizer: Any) -> None:
        self.groups, self.step = optimizer.param_groups, optimizer.step


class TorchAdam(DropIn):
    """torch.optim in one of its implementations."""

    def __init__(self, groups: int, device: str, **form: bool) -> None:
        """Create the optimizer."""
        GroupedAdam.__init__(self, groups, device)
        torch = import_torch()
        self._take(torch.optim.Adam(_grouped(self.params, groups), LR, **form))


def _plain(tensor: Any) -> Any:
    return tensor.detach().numpy() if tensor.device.type == "cpu" else tensor.detach()


def _parts(items: Sequence[Any], groups: int) -> list[list[Any]]:
    """Return a list for each group: of one item each, or of all."""
    return [list(items)] if groups == 1 else [[item] for item in items]


def _grouped(params: Sequence[Any], groups: int) -> list[dict[str, Any]]:
    return [{"params": part} for part in _parts(params, groups)]


def check(made: dict[str, GroupedAdam]) -> None:
    """Raise RuntimeError unless all have equal parameters after three steps."""
    torch = import_torch()
    for each in made.values():
        for _ in range(3):
            each.changed()
    first = made[ARRAYS]
    for name, each in made.items():
        for mine, other in zip(first.params, each.params):
            if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE * LR):
                raise RuntimeError(f"{name} does not compute what {ARRAYS} does")
