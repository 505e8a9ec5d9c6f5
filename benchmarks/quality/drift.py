"""Adam's second moment over long runs, compared with peers and other ways of rounding.

    python -m benchmarks.quality.drift

4,096 elements take normal gradients of deviation 1 until the second moment is stationary (at 1),
then as many steps with a hundredth of that variance. The table has the mean after both halves,
divided by that of float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from json import dumps
from typing import Annotated, Any

import numpy as np

from ..arguments import writable
from ..buffers import import_torch
from ..command_line import Exit, File, names, option, run, single, texts
from ..report import show_table
from ..step import Unavailable
from . import flashoptim
from .methods import STORAGES, Method

ELEMENTS = 4096
RUNS = {0.999: 5_000, 0.9999: 40_000}
"""For each beta2, the number of steps per half."""

Run = Callable[[float, int], list[float]]
"""``means = run(beta2, steps)``, after both halves."""


def _gradients(steps: int) -> Any:
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    for size in (1.0, 0.1):
        for _ in range(steps):
            yield size * torch.randn(ELEMENTS, generator=generator)


def _by_formula(store: Callable[[Any], Any], dtype: str = "float32") -> Run:
    """Return a run of v = b*v + (1-b)*g^2 alone, in which ``store`` rounds v."""

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


Betas = Annotated[
    list[names(map(str, RUNS))] | None, option(metavar="BETA", help=", ".join(map(str, RUNS)))
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(single(measure, __doc__), "benchmarks.quality.drift", arguments)


def measure(json: File = None, betas: Betas = None) -> None:
    """Print the table."""
    if not writable([json]):
        raise Exit(2)
    wanted = [float(text) for text in texts(betas)] or list(RUNS)
    found: dict[str, dict[str, list[float]]] = {}
    for beta2 in wanted:
        steps = RUNS[beta2]
        expected = _by_formula(lambda v: v, "float64")(beta2, steps)
        for name, runner in RUNNERS.items():
            try:
                means = runner(beta2, steps)
            except Unavailable as error:
                print(error, file=sys.stderr)
                continue
            ratios = [one / right for one, right in zip(means, expected, strict=True)]
            found.setdefault(name, {})[str(beta2)] = ratios
            if json is not None:  # after every run: some take minutes
                json.write_text(dumps(found, indent=1) + "\n")
    head = ("second moment / float64's", *(f"beta2 {b}: stationary, decayed" for b in wanted))
    rows = [
        (name, *(", ".join(f"{x:.3f}" for x in own.get(str(b), ())) for b in wanted))
        for name, own in found.items()
    ]
    show_table("Adam's second moment", head, rows, [])


if __name__ == "__main__":
    sys.exit(main())
