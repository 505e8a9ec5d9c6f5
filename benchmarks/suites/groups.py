"""A group for each parameter, as layer-wise learning rates have: what their steps cost the host.

The time is that of the processor, of all threads. A step with a changed rate in each group includes
the assignments of a scheduler.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import gpuopt

from ..buffers import import_torch
from ..lines import Group, Line, Place
from ..measure import attempt, timed
from ..models import Shapes, elements
from ..peers.torch_optim import FORMS
from ..step import Step
from ..timing import HostClock, interleaved
from . import Asked
from .tail import TOLERANCE, new_params

SHAPES: Shapes = ((16, 16),) * 465
ARRAYS, DROP_IN = "gpuopt, arrays", "gpuopt, drop-in"
LR = 1e-3


def run(asked: Asked) -> Iterator[Group]:
    """Yield a group for each kind of change, and one without many groups."""
    many = len(SHAPES)
    for groups, changes in ((many, True), (many, False), (1, True)):
        what = f"{groups} group{'s' * (groups > 1)}, {'every' if changes else 'no'} lr changes"
        place = Place("groups", "adam", "float32", what, asked.device)
        found, error = attempt(lambda g=groups, c=changes: _timings(g, c, asked))
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


def _timings(groups: int, changes: bool, asked: Asked) -> dict[str, Any]:
    made = {name: make(groups, asked.device) for name, make in contenders(asked.peers).items()}
    check(made)
    steps = {name: Step(each.changed if changes else each.step) for name, each in made.items()}
    return interleaved(steps, asked.rounds, HostClock(processor=True))


def contenders(peers: Sequence[str]) -> dict[str, Callable[[int, str], Contender]]:
    """Return what makes each, over a number of groups on a device."""

    def of_torch(form: str) -> Callable[[int, str], Contender]:
        return lambda groups, device: Torchs(groups, device, **FORMS[form])

    theirs = {form: of_torch(form) for form in FORMS if form in peers}
    return {ARRAYS: Arrays, DROP_IN: DropIn, **theirs}


class Contender:
    """An optimizer over parameters in groups.

    Attributes:
        params: the parameters, as torch's tensors.
        groups: the optimizer's.
        step: what takes a step.
    """

    params: list[Any]
    groups: Sequence[Any]
    step: Callable[[], object]

    def __init__(self, groups: int, device: str) -> None:
        """Make the parameters and their gradients."""
        self.params = new_params(SHAPES, "float32", device)
        self._count = count(1)

    def changed(self) -> None:
        """Change the rate of every group, and step."""
        factor = 1.0 + 1e-3 * (next(self._count) % 100)
        for i, group in enumerate(self.groups):
            group["lr"] = (LR + 1e-6 * i) * factor
        self.step()


class Arrays(Contender):
    """gpuopt over plain arrays: NumPy's on the CPU, torch's on a device."""

    def __init__(self, groups: int, device: str) -> None:
        """Make it."""
        super().__init__(groups, device)
        plain = [_plain(p) for p in self.params]
        grads = _parts([_plain(p.grad) for p in self.params], groups)
        optimizer = gpuopt.Adam([{"params": part} for part in _parts(plain, groups)], LR)
        self.groups = optimizer.param_groups
        self.step = lambda: optimizer.step(grads)


class DropIn(Contender):
    """gpuopt's drop-in for torch.optim."""

    def __init__(self, groups: int, device: str) -> None:
        """Make it."""
        import gpuopt.torch

        super().__init__(groups, device)
        self._take(gpuopt.torch.Adam(_grouped(self.params, groups), LR))

    def _take(self, optimizer: Any) -> None:
        self.groups, self.step = optimizer.param_groups, optimizer.step


class Torchs(DropIn):
    """torch.optim in one of its forms."""

    def __init__(self, groups: int, device: str, **form: bool) -> None:
        """Make it."""
        Contender.__init__(self, groups, device)
        torch = import_torch()
        self._take(torch.optim.Adam(_grouped(self.params, groups), LR, **form))


def _plain(tensor: Any) -> Any:
    return tensor.detach().numpy() if tensor.device.type == "cpu" else tensor.detach()


def _parts(items: Sequence[Any], groups: int) -> list[list[Any]]:
    """Return a list for each group: of one item, or of all."""
    return [list(items)] if groups == 1 else [[item] for item in items]


def _grouped(params: Sequence[Any], groups: int) -> list[dict[str, Any]]:
    return [{"params": part} for part in _parts(params, groups)]


def check(made: dict[str, Contender]) -> None:
    """Raise RuntimeError unless all have the same parameters after three steps."""
    torch = import_torch()
    for each in made.values():
        for _ in range(3):
            each.changed()
    first = made[ARRAYS]
    for name, each in made.items():
        for mine, other in zip(first.params, each.params):
            if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE * LR):
                raise RuntimeError(f"{name} does not compute what {ARRAYS} does")
