"""Gradients that are hard for 8-bit states: Adam's error compared with a float64 run.

    python -m benchmarks.quality.hard

Each case takes `STEPS` steps with 4,096 weights. The table has, in units of the learning rate, the
median and largest error of a weight per step, and the largest single step; float64's comes first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from json import dumps
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import writable
from ..buffers import import_torch
from ..command_line import Exit, File, single
from ..command_line import run as run_command
from ..report import show_table
from ..step import Unavailable
from .methods import STORAGES, Method

ELEMENTS, STEPS, LR, ROW = 4096, 300, 1e-3, 64

CONTENDERS = (
    *("float32", "bf16 states", "8bit"),
    *("FlashOptim's formulas", "bitsandbytes 8bit", "torchao 8bit"),
)

Gradients = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
"""Returns the gradient of a step, from a random generator and the step's index."""

_EVERY_32ND = np.arange(ELEMENTS) % 32 == 0
_SIZES = 10.0 ** np.random.default_rng(7).uniform(-6, 0, ELEMENTS)


def _normal(size: Any) -> Gradients:
    return lambda random, step: size * random.standard_normal(ELEMENTS)


def _seldom(share: float, together: int, size: Any = 1.0) -> Gradients:
    """Return gradients of which a fraction, in runs of some length, is not zero."""

    def gradient(random: np.random.Generator, step: int) -> npt.NDArray[np.float64]:
        here = np.repeat(random.random(ELEMENTS // together) < share, together)
        return np.asarray(size * random.standard_normal(ELEMENTS) * here)

    return gradient


def _late(random: np.random.Generator, step: int) -> npt.NDArray[np.float64]:
    return random.standard_normal(ELEMENTS) * np.where(_EVERY_32ND & (step == 100), 1e3, 1.0)


CASES: dict[str, Gradients] = {
    "ordinary": _normal(1.0),
    "one of 32 is 1,000 times as large": _normal(np.where(_EVERY_32ND, 1e3, 1.0)),
    "the same in step 100 alone": _late,
    "1e-30": _normal(1e-30),
    "1e-18": _normal(1e-18),
    "1e4": _normal(1e4),
    "zeros": _normal(0.0),
    "sparse rows": _seldom(0.05, ROW),
    "sparse elements": _seldom(0.05, 1),
    "six decades, half of them zero": _seldom(0.5, 1, _SIZES),
}


def gradients(case: str) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the gradient of each step of a case."""
    random = np.random.default_rng(0)
    for step in range(STEPS):
        yield CASES[case](random, step).astype(np.float32)


def run(case: str, storage: str, dtype: str = "float32") -> tuple[npt.NDArray[np.float64], float]:
    """Return the weights after the steps, and the largest step of one; both in units of lr.

    Raises:
        Unavailable: the peer is not installed.
    """
    torch = import_torch()
    weights = torch.nn.Parameter(torch.zeros(ELEMENTS, dtype=getattr(torch, dtype)))
    adam = {"bitsandbytes": "Adam8bit", "torchao": "Adam8bit"}
    optimizer = STORAGES[storage].make(Method("Adam", "Adam", {"lr": LR}, adam), [weights])
    largest = 0.0
    for gradient in gradients(case):
        before = weights.detach().clone()
        weights.grad = torch.from_numpy(gradient).to(weights.dtype)
        optimizer.step()
        STORAGES[storage].after(optimizer)
        largest = max(largest, float((weights.detach() - before).abs().max()))
    return weights.detach().numpy().astype(np.float64) / LR, largest / LR


def measured(case: str, storage: str) -> dict[str, float]:
    """Return the median and the largest error per step, and the largest step."""
    expected, _ = run(case, "float32", "float64")
    weights, largest = run(case, storage)
    off = np.abs(weights - expected) / STEPS
    return {"median": float(np.median(off)), "most": float(off.max()), "step": largest}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(single(measure, __doc__), "benchmarks.quality.hard", arguments)


def measure(json: File = None) -> None:
    """Print the table."""
    if not writable([json]):
        raise Exit(2)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for case in CASES:
        _, largest = run(case, "float32", "float64")
        found[case] = {"float64": {"median": 0.0, "most": 0.0, "step": largest}}
        for name in CONTENDERS:
            try:
                found[case][name] = measured(case, name)
            except Unavailable as error:
                print(error, file=sys.stderr)
    rows = [(c, n, *(f"{x:.3g}" for x in e.values())) for c, own in found.items()
            for n, e in own.items()]  # fmt: skip
    head = ("gradients", "Adam", "median error", "largest error", "largest step")
    show_table("Errors per step, and steps, in units of lr", head, rows, [])
    if json is not None:
        json.write_text(dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
