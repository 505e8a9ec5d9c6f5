"""Time the tail of a training step on the CPU: clipping, Adam, an EMA, as one pass and torch's.

    python -m benchmarks.training_tail --models gpt2 resnet50 --rounds 9

Torch's is the best that its user can write: `clip_grad_norm_` with ``foreach=True``, Adam with
``fused=True``, `torch._foreach_lerp_` for the EMA; for bfloat16, float32 masters beside them, whose
gradients and parameters `torch._foreach_copy_` converts. Both start from the same numbers and are
compared before they are timed. Bytes are counted from the tables, not measured.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpuopt.kernels.threads import thread_count

from gpuopt.compose import within
from gpuopt.measure import MEASURE
from gpuopt.registry import RULES
from gpuopt.tail import tail_of

from .arguments import positive, writable
from .contender import Step
from .models import MODELS, Shapes
from .peers import import_torch
from .report import load_average, seconds_text, show_machine, show_table
from .timing import Timing, interleaved, threads

DECAY, LARGEST = 0.999, 1.0
TOLERANCE = 1e-5
"""Between the two after three steps in float32, whose products they round in another order."""

TARGETS = {
    ("float32", "gpt2"): 1.3,
    ("float32", "resnet50"): 1.6,
    ("bfloat16", "gpt2"): 1.5,
    ("bfloat16", "resnet50"): 1.5,
}
"""How many times as fast as torch's."""

TORCH_BYTES = {"float32": (4, 8, 28, 12), "bfloat16": (6, 4, 8, 28, 12, 6)}
"""What an element costs torch: [gradients to float32], norm, clipping, Adam, EMA[, to bfloat16]."""


def bytes_of_ours(dtype: str) -> int:
    """Return what an element costs here: one read of the gradients, and the update.

    >>> bytes_of_ours("float32"), sum(TORCH_BYTES["float32"])
    (40, 52)
    """
    tail = tail_of(clip_norm=LARGEST, ema_decay=DECAY, master_weights=dtype == "bfloat16")
    update = within(RULES["adam"], tail).for_params(dtype)
    size = 4 if dtype == "float32" else 2
    dtypes = [dtype, dtype, *["float32"] * len(update.states)]
    assert MEASURE.read == (1,)
    return size + update.bytes_per_element(dtypes)


class Ours:
    """One optimizer with everything in its step."""

    def __init__(self, shapes: Shapes, dtype: str) -> None:
        """Make the parameters and their gradients."""
        import gpuopt.torch

        self.params = new_params(shapes, dtype)
        options = {"clip_norm": LARGEST, "ema_decay": DECAY, "master_weights": dtype == "bfloat16"}
        self.optimizer = gpuopt.torch.Adam(self.params, **options)
        self.step: Callable[[], Any] = self.optimizer.step

    def averages(self) -> list[Any]:
        """Return the averaged weights."""
        return [self.optimizer.ema[param] for param in self.params]


class Torchs:
    """What a user of torch writes."""

    def __init__(self, shapes: Shapes, dtype: str) -> None:
        """Make the parameters and their gradients."""
        torch = import_torch()
        self.params = new_params(shapes, dtype)
        self._narrow = dtype == "bfloat16"
        self._masters = (
            [torch.nn.Parameter(p.detach().float()) for p in self.params]
            if self._narrow
            else self.params
        )
        if self._narrow:
            for master in self._masters:
                master.grad = torch.empty_like(master)
        self._emas = [m.detach().clone() for m in self._masters]
        self._optimizer = torch.optim.Adam(self._masters, fused=True)
        self._torch = torch

    def step(self) -> None:
        """Clip, update, average."""
        torch = self._torch
        with torch.no_grad():
            if self._narrow:
                wide = [m.grad for m in self._masters]
                torch._foreach_copy_(wide, [p.grad for p in self.params])
            torch.nn.utils.clip_grad_norm_(self._masters, LARGEST, foreach=True)
            self._optimizer.step()
            torch._foreach_lerp_(self._emas, self._masters, 1.0 - DECAY)
            if self._narrow:
                torch._foreach_copy_(self.params, self._masters)

    def averages(self) -> list[Any]:
        """Return the averaged weights."""
        return self._emas


def new_params(shapes: Shapes, dtype: str) -> list[Any]:
    """Return parameters with gradients, the same for the same arguments."""
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in shapes:
        value = torch.randn(shape, generator=generator).to(getattr(torch, dtype))
        param = torch.nn.Parameter(value)
        # Clipping of torch's scales its gradients again and again: this is what they end up as.
        param.grad = (torch.randn(shape, generator=generator) * 1e-6).to(value.dtype)
        params.append(param)
    return params


def check(shapes: Shapes, dtype: str) -> None:
    """Raise RuntimeError unless both have the same averages after three steps."""
    torch = import_torch()
    ours, theirs = Ours(shapes, dtype), Torchs(shapes, dtype)
    for _ in range(3):
        ours.step()
        theirs.step()
    for mine, other in zip(ours.averages(), theirs.averages()):
        if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE):
            raise RuntimeError(f"{dtype}: gpuopt and torch do not compute the same")


def measure(
    models: Sequence[str], dtypes: Sequence[str], rounds: int
) -> Iterator[tuple[str, str, dict[str, Timing]]]:
    """Yield the dtype, the model and the times of both."""
    for dtype in dtypes:
        check(((1000,), (33, 7), ()), dtype)
        for model in models:
            pair = {"gpuopt": Ours(MODELS[model], dtype), "torch": Torchs(MODELS[model], dtype)}
            steps = {name: Step(each.step) for name, each in pair.items()}
            yield dtype, model, interleaved(steps, rounds)
            del pair, steps
            gc.collect()


def row(dtype: str, model: str, timings: dict[str, Timing]) -> tuple[str, ...]:
    """Return a line of the table."""
    own, theirs = timings["gpuopt"], timings["torch"]
    ratio, asked = own.ratio(theirs), TARGETS.get((dtype, model), 0.0)
    verdict = "" if not asked else f"{asked:g}x: {'met' if ratio >= asked else 'MISSED'}"
    ours, torchs = bytes_of_ours(dtype), sum(TORCH_BYTES[dtype])
    times = seconds_text(own.median), seconds_text(theirs.median)
    return dtype, model, *times, f"{ratio:.2f}x", verdict, f"{ours} / {torchs}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_tail")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["gpt2", "resnet50"])
    parser.add_argument("--dtypes", nargs="+", choices=TORCH_BYTES, default=list(TORCH_BYTES))
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument("--threads", type=positive, default=thread_count())
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.json is not None and not writable(asked.json):
        return 2
    show_machine(load_average(), asked.threads)
    table, data = [], []
    with threads(asked.threads):
        for dtype, model, timings in measure(asked.models, asked.dtypes, asked.rounds):
            table.append(row(dtype, model, timings))
            data += [
                {"dtype": dtype, "model": model, "contender": c, "seconds": list(t.samples)}
                for c, t in timings.items()
            ]
    head = ("dtype", "model", "gpuopt", "torch", "ratio", "asked", "bytes an element")
    show_table("Clip, Adam, EMA (bfloat16: and masters), whole step", head, table, [])
    if asked.json is not None:
        asked.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
