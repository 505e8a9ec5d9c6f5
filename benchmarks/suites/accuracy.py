"""The error of the parameters after some steps against torch.optim in float64, in ulps.

All contenders get the same parameters and gradients, rounded to the dtype. Merely rounding the
final parameter can cause an error of half an ulp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..buffers import SharedBuffers, as_float64, import_torch
from ..cases import CASES, Case
from ..contender import Contender
from ..lines import Group, Line, Place
from ..measure import attempt
from ..models import Shapes, elements
from ..ours import OURS
from ..peers import PEERS
from ..peers.torch_optim import COMPILED
from . import Settings

SHAPES: Shapes = ((64, 63), (64,))
DIGITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
"""Fraction bits of each dtype."""

Doubles = npt.NDArray[np.float64]


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each rule and dtype."""
    peers = {name: PEERS[settings.device][name] for name in settings.peers if name != COMPILED}
    for rule in settings.rules:
        for dtype in settings.dtypes:
            place = Place("accuracy", rule, dtype, f"{settings.steps} steps", settings.device)
            yield _compare(place, CASES[rule], {**OURS[settings.device], **peers}, settings.steps)


def _compare(place: Place, case: Case, contenders: dict[str, Contender], steps: int) -> Group:
    expected, error = attempt(lambda: exact(case, place.dtype, steps))
    if error:
        return Group(place, [], dict.fromkeys(contenders, error))
    lines, left_out = [], {}
    for name, contender in contenders.items():
        actual, error = attempt(lambda contender=contender: _after(case, contender, place, steps))
        if error:
            left_out[name] = error
            continue
        figures = {"steps": float(steps), **errors(actual, expected, place.dtype)}
        if not all(map(np.isfinite, figures.values())):
            left_out[name] = "the parameters are not finite"
            continue
        ours = name in OURS[place.device]
        lines.append(Line(place, name, ours, len(SHAPES), elements(SHAPES), ulps=figures))
    return Group(place, lines, left_out, [case.note] if case.note else [])


def _gradients(size: int, steps: int) -> Iterator[npt.NDArray[np.float32]]:
    random = np.random.default_rng(1)
    for _ in range(steps):
        yield random.standard_normal(size, np.float32) * np.float32(1e-3)


def _after(case: Case, contender: Contender, place: Place, steps: int) -> Doubles:
    buffers = SharedBuffers(SHAPES, case.rule.states, place.dtype, place.device)
    step = contender(case, buffers)
    with step.context():
        for gradients in _gradients(len(buffers.flat["grads"]), steps):
            buffers.fill("grads", gradients)
            step.run()
    return as_float64(buffers.flat["params"])


def exact(case: Case, dtype: str, steps: int) -> Doubles:
    """Return the parameters after ``steps`` steps of torch.optim in float64."""
    torch = import_torch()
    buffers = SharedBuffers(SHAPES, case.rule.states, dtype)
    param = torch.nn.Parameter(torch.from_numpy(as_float64(buffers.flat["params"])))
    optimizer = getattr(torch.optim, case.torch)([param], **case.torch_options, foreach=False)
    for gradients in _gradients(len(buffers.flat["grads"]), steps):
        buffers.fill("grads", gradients)
        param.grad = torch.from_numpy(as_float64(buffers.flat["grads"]))
        optimizer.step()
    found: Any = param.detach().numpy()
    return found


def errors(actual: Doubles, expected: Doubles, dtype: str) -> dict[str, float]:
    """Return the quantiles of the errors, in ulps of the exact value.

    >>> errors(np.array([1.0 + 2.0**-22]), np.array([1.0]), "float32")
    {'median': 2.0, 'p99': 2.0, 'max': 2.0}
    """
    _, exponents = np.frexp(expected)
    apart = np.abs(actual - expected) / np.ldexp(1.0, exponents - 1 - DIGITS[dtype])
    median, p99, most = np.percentile(apart, (50, 99, 100)).tolist()
    return {"median": median, "p99": p99, "max": most}
