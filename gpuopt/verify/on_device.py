"""Trainings that only a device can go through, each beside what NumPy does without one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..optimizers.classes import Optimizer
from .checks import Check
from .compare import Outcome
from .devices import DEVICES, Device
from .steps import STEPS, Side, gradients, left_of, lr_of, optimizer_of, parameters, take

RATES = (1.0, 0.5, 0.25)
"""The learning rates of replays, as parts of the check's."""

BIG = 1 << 24
"""Elements of what is copied to keep the device busy: a copy takes 50 us on an H100."""

COPIES = 40

MANY = 200
"""Steps in a row, with nothing to wait for."""


def _device(side: Side) -> Device:
    return DEVICES[side.library.name]


def on_streams(check: Check, side: Side) -> Outcome:
    """Each step on a stream of its own."""
    params = parameters(check, side)
    optimizer = optimizer_of(check, params)
    for step in range(1, STEPS + 1):
        with _device(side).side_stream():
            grads = gradients(check, side, step)
            take(check, optimizer, grads, step)
    return left_of(optimizer, params, grads)


def behind_long_work(check: Check, side: Side) -> Outcome:
    """Gradients that the device writes late, and overwrites right after the step."""
    params = parameters(check, side)
    optimizer = optimizer_of(check, params)
    all_grads = [gradients(check, side, step) for step in range(1, STEPS + 1)]
    one, other = (side.array(np.zeros(BIG, np.float32), "float32") for _ in range(2))
    grads = gradients(check, side, 0)
    for step, new in enumerate(all_grads, 1):
        for _ in range(COPIES):
            one[...] = other
        _copy(grads, new)
        take(check, optimizer, grads, step)
        _copy(grads, all_grads[0])
    _copy(grads, new)
    return left_of(optimizer, params, grads)


def without_waiting(check: Check, side: Side) -> Outcome:
    """Steps during which it is an error to wait for the device, but for the first one."""
    params = parameters(check, side)
    optimizer = optimizer_of(check, params)
    first, *others = (gradients(check, side, step) for step in range(1, STEPS + 1))
    take(check, optimizer, first)
    with _device(side).not_waiting():
        for step, grads in enumerate(others, 2):
            take(check, optimizer, grads, step)
    return left_of(optimizer, params, grads)


# --- graphs ---------------------------------------------------------------------------------


def in_a_graph(check: Check, side: Side) -> Outcome:
    """A captured step, replayed with other gradients and learning rates, between ordinary ones."""
    params = parameters(check, side)
    rates = [side.array(np.array(rate, np.float32), "float32") for rate in _rates(check)]
    lr = side.array(np.array(_rates(check)[0], np.float32), "float32")
    optimizer = optimizer_of(check, params, lr)
    all_grads = [gradients(check, side, step) for step in range(1, len(RATES) + 1)]
    grads = gradients(check, side, 1)

    def step() -> None:
        take(check, optimizer, grads)

    with _device(side).side_stream():
        step()
        replay = _device(side).capture(step)
        for rate, new in zip(rates, all_grads):
            lr[...] = rate
            _copy(grads, new)
            replay()
        step()
    return left_of(optimizer, params, grads)


def without_a_graph(check: Check, side: Side) -> Outcome:
    """What these steps leave."""
    params, grads = parameters(check, side), gradients(check, side, 1)
    rates = [float(np.float32(rate)) for rate in _rates(check)]
    optimizer = optimizer_of(check, params, rates[0])
    take(check, optimizer, grads)
    for step, rate in enumerate(rates, 1):
        grads = gradients(check, side, step)
        _set_rate(optimizer, rate)
        take(check, optimizer, grads)
    take(check, optimizer, grads)
    return left_of(optimizer, params, grads)


def _rates(check: Check) -> list[float]:
    return [part * lr_of(check) for part in RATES]


def _set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _copy(into: list[Any], arrays: list[Any]) -> None:
    for one, other in zip(into, arrays):
        one[...] = other


# --- pinned memory, and a second device -----------------------------------------------------


def with_moving_gradients(check: Check, side: Side) -> Outcome:
    """Many steps in a row, each of which sends addresses through pinned memory."""
    rng = np.random.default_rng(0)
    start, pool = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((16, 999), (7, 16, 999))
    )
    params, moving = list(side.array(start, "float32")), side.array(pool, "float32")
    optimizer = Optimizer(params, rule="gradient_descent", lr=1.0)
    for step in range(MANY):
        grads = list(moving[step % len(pool)])
        optimizer.step(grads)
    return left_of(optimizer, params, grads)


def on_two_devices(check: Check, side: Side) -> Outcome:
    """One optimizer over arrays on two devices; for the reference, over twice as many."""
    places = [side] * 2 if side.device == "cpu" else [side, side._replace(device=_second(side))]
    params = [param for place in places for param in parameters(check, place)]
    optimizer = optimizer_of(check, params)
    for step in range(1, STEPS + 1):
        grads = [grad for place in places for grad in gradients(check, place, step)]
        take(check, optimizer, grads)
    return left_of(optimizer, params, grads)


def _second(side: Side) -> str:
    return f"{side.device.partition(':')[0]}:1"
