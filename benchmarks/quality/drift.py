"""Adam's second moment over long runs, beside peers and other ways to round.

    python -m benchmarks.quality.drift

4,096 elements take normal gradients of deviation 1 until the second moment is stationary (at 1),
then as many steps with a hundredth of that variance. The table has the mean after both halves,
divided by that of float64.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import writable
from ..buffers import import_torch
from ..report import show_table
from ..step import Unavailable
from . import flashoptim
from .methods import STORAGES, Method

ELEMENTS = 4096
RUNS = {0.999: 5_000, 0.9999: 40_000}
"""By beta2, the steps of a half."""

Run = Callable[[float, int], list[float]]
"""``means = run(beta2, steps)``, after both halves."""


def _gradients(steps: int) -> Any:
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    for size in (1.0, 0.1):
        for _ in range(steps):
            yield size * torch.randn(ELEMENTS, generator=generator)


def _by_formula(store: Callable[[Any], Any], dtype: str = "float32") -> Run:
    """Return a run of v = b*v + (1-b)*g^2 alone, of which ``store`` says what is kept."""

    def run(beta2: float, steps: int) -> list[float]:
        torch = import_torch()
        v, found = torch.zeros(ELEMENTS, dtype=getattr(torch, dtype)), []
        for i, gradient in enumerate(_gradients(steps), 1):
            g = gradient.to(v.dtype)
            v = store(beta2 * v + (1 - beta2) * (g * g))
            if i % steps == 0:
                found.append(float(v.double().mean()))
        return found

    return run


def _by_optimizer(storage: str, read: Callable[[Any], Any]) -> Run:
    def run(beta2: float, steps: int) -> list[float]:
        torch = import_torch()
        weights = torch.nn.Parameter(torch.zeros(ELEMENTS))
        adam = {"bitsandbytes": "Adam8bit", "torchao": "Adam8bit"}
        options = {"lr": 1e-6, "betas": (0.9, beta2)}
        optimizer = STORAGES[storage].make(Method("Adam", "Adam", options, adam), [weights])
        found = []
        for i, gradient in enumerate(_gradients(steps), 1):
            weights.grad = gradient
            optimizer.step()
            if i % steps == 0:
                found.append(float(np.mean(read(optimizer.state[weights]), dtype=np.float64)))
        return found

    return run


def _ours(state: Any) -> Any:
    return state["exp_avg_sq"].numpy()


def _bitsandbytes(state: Any) -> Any:
    names = ("state2", "absmax2", "qmap2")
    codes, largest, values = (state[name].float().numpy() for name in names)
    return values[codes.reshape(-1).astype(np.int64)] * np.repeat(largest, 256)


RUNNERS: dict[str, Run] = {
    "8bit": _by_optimizer("8bit", _ours),
    "nearest, float32 scale": _by_formula(lambda v: flashoptim.stored(v, True, "float32")),
    "nearest, float16 scale (FlashOptim)": _by_formula(lambda v: flashoptim.stored(v, True)),
    "bitsandbytes 8bit": _by_optimizer("bitsandbytes 8bit", _bitsandbytes),
    "torchao 8bit": _by_optimizer(
        "torchao 8bit", lambda state: state["exp_avg_sq"].dequantize().numpy()
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.drift")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--betas", nargs="+", type=float, choices=RUNS, default=list(RUNS))
    given = parser.parse_args(arguments)
    if not writable([given.json]):
        return 2
    found: dict[str, dict[str, list[float]]] = {}
    for beta2 in given.betas:
        steps = RUNS[beta2]
        expected = _by_formula(lambda v: v, "float64")(beta2, steps)
        for name, run in RUNNERS.items():
            try:
                means = run(beta2, steps)
            except Unavailable as error:
                print(error, file=sys.stderr)
                continue
            ratios = [one / right for one, right in zip(means, expected, strict=True)]
            found.setdefault(name, {})[str(beta2)] = ratios
            if given.json is not None:  # after every run: some take minutes
                given.json.write_text(json.dumps(found, indent=1) + "\n")
    head = ("second moment / float64's", *(f"beta2 {b}: stationary, decayed" for b in given.betas))
    rows = [
        (name, *(", ".join(f"{x:.3f}" for x in own.get(str(b), ())) for b in given.betas))
        for name, own in found.items()
    ]
    show_table("Adam's second moment", head, rows, [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
