"""How each kind of check steps, and what the reference does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from ..engine.dispatch import use_backend
from . import on_device, steps
from .checks import Check
from .compare import Difference, Outcome, differences
from .steps import Side, sides_of

Way = Callable[[Check, Side], Outcome]


def _drop_in(name: str, check: Check, side: Side) -> Outcome:
    """Step by gpuopt.torch, which needs torch."""
    way: Way = getattr(import_module(f"{__package__}.drop_ins"), name)
    return way(check, side)


WAYS: dict[str, tuple[Way, Way]] = {
    "rule": (steps.trained, steps.trained),
    "finite": (steps.trained, steps.trained),
    "late": (partial(steps.trained, late=True), partial(steps.trained, late=True)),
    "resume": (partial(steps.trained, resume=True), steps.trained),
    "threads": (steps.in_threads, steps.one_by_one),
    "sums": (steps.summed, steps.summed),
    "other order": (steps.in_other_order, steps.in_other_order),
    "drop-in": (partial(_drop_in, "stepped"), partial(_drop_in, "stepped")),
    "scaler": (partial(_drop_in, "scaled"), partial(_drop_in, "scaled")),
    "streams": (on_device.on_streams, steps.trained),
    "order": (on_device.behind_long_work, steps.trained),
    "no waiting": (on_device.without_waiting, steps.trained),
    "graph": (on_device.in_a_graph, on_device.without_a_graph),
    "pinned": (on_device.with_moving_gradients, on_device.with_moving_gradients),
    "devices": (on_device.on_two_devices, on_device.on_two_devices),
}
"""By kind: what is checked, and what must leave the same bits."""


def run(check: Check) -> list[Difference]:
    """Return what a check leaves that NumPy does not, or otherwise."""
    outcomes = []
    for way, side in zip(WAYS[check.kind], sides_of(check)):
        with use_backend(side.backend):
            outcomes.append(way(check, side))
    return differences(*outcomes)
