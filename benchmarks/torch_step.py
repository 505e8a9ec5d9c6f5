"""Time `gpuopt.torch`'s optimizers on the CPU beside torch.optim's own, whole steps, float32.

    python -m benchmarks.torch_step --optimizers Adam SGD --models gpt2 tiny500 --rounds 9

Each optimizer of torch's is run in every form that it has (fused, foreach, for-loop); the ratio is
to the fastest of them. All update the same parameters from the same gradients, in turns, with
states of their own. ``--memory`` measures what a step in the backward pass saves instead.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpuopt.kernels.threads import thread_count

from .arguments import positive, writable
from .contender import Step
from .models import MODELS, Shapes
from .peers import FORMS, import_torch, lacks
from .report import load_average, seconds_text, show_machine, show_table
from .timing import Timing, interleaved, threads

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9},
    "Adam": {},
    "AdamW": {},
    "Adagrad": {},
    "RMSprop": {},
    "Adadelta": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Rprop": {},
    "ASGD": {},
}
"""The optimizers that both have, and the options that they are run with."""

FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
"""Those that torch has a fused kernel for."""

TARGETS = {"gpt2": (1.0, 3.0), "resnet50": (1.5, 5.0), "tiny500": (5.0, 5.0)}
"""How many times as fast as torch's best: where torch has a fused kernel, and where not."""


def contenders(name: str, options: Mapping[str, Any], shapes: Shapes) -> dict[str, Step]:
    """Return one step for gpuopt, and one for each form that torch has."""
    torch = import_torch()
    import gpuopt.torch as ours

    params = [torch.nn.Parameter(torch.full(shape, 0.5)) for shape in shapes]
    for param in params:
        param.grad = torch.full_like(param, 0.01)
    theirs = getattr(torch.optim, name)
    made = {"gpuopt": getattr(ours, name)(params, **options)}
    for form, flags in FORMS.items():
        if not lacks(theirs, flags):
            made[form] = theirs(params, **options, **flags)
    return {each: Step(optimizer.step) for each, optimizer in made.items()}


def best_of_torch(timings: Mapping[str, Timing]) -> str:
    """Return torch's fastest form."""
    forms = [name for name in timings if name != "gpuopt"]
    return min(forms, key=lambda name: timings[name].median)


def row(name: str, model: str, timings: Mapping[str, Timing]) -> tuple[str, ...]:
    """Return a line of the table: times, and the ratio beside what is asked."""
    best = best_of_torch(timings)
    ratio = timings["gpuopt"].ratio(timings[best])
    asked = TARGETS.get(model, (0.0, 0.0))[name not in FUSED]
    verdict = "" if not asked else f"{asked:g}x: {'met' if ratio >= asked else 'MISSED'}"
    own = seconds_text(timings["gpuopt"].median)
    return name, model, own, best, seconds_text(timings[best].median), f"{ratio:.2f}x", verdict


def measure(
    optimizers: Sequence[str], models: Sequence[str], rounds: int
) -> Iterator[tuple[str, str, dict[str, Timing]]]:
    """Yield the optimizer, the model and the times of each contender."""
    for model in models:
        for name in optimizers:
            steps = contenders(name, OPTIMIZERS[name], MODELS[model])
            yield name, model, interleaved(steps, rounds)
            del steps
            gc.collect()


# --- memory of a step in the backward pass -----------------------------------------------------


def largest_gradients(layers: int = 16, width: int = 1024) -> dict[str, int]:
    """Return the most bytes of gradients at once: with the step after backward, and inside."""
    torch = import_torch()
    import gpuopt.torch as ours

    held = {"step after backward": False, "step inside backward": True}
    return {name: _most(torch, ours, inside, layers, width) for name, inside in held.items()}


def _most(torch: Any, ours: Any, inside: bool, layers: int, width: int) -> int:
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
    params = list(model.parameters())
    most = 0

    def look(param: Any) -> None:
        nonlocal most
        most = max(most, sum(p.grad.nbytes for p in params if p.grad is not None))

    for param in params:
        param.register_post_accumulate_grad_hook(look)
    optimizer = ours.StepInBackward(params, ours.AdamW) if inside else ours.AdamW(params)
    for _ in range(2):
        model(torch.ones(4, width)).sum().backward()
        if not inside:
            optimizer.step()
            optimizer.zero_grad()
    return most


# --- the command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_step")
    known = [model for model in MODELS if model != "16m"]
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=known)
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument("--threads", type=positive, default=thread_count())
    parser.add_argument("--memory", action="store_true", help="gradients at once, not times")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.json is not None and not writable(asked.json):
        return 2
    import_torch()
    show_machine(load_average(), asked.threads)
    if asked.memory:
        found = largest_gradients()
        rows = [(name, f"{count / 2**20:.1f} MiB") for name, count in found.items()]
        show_table("Gradients in memory at once", ("16 layers of 1024x1024", "most"), rows, [])
        return 0
    table, data = [], []
    with threads(asked.threads):
        for name, model, timings in measure(asked.optimizers, asked.models, asked.rounds):
            table.append(row(name, model, timings))
            data += [
                {"optimizer": name, "model": model, "contender": c, "seconds": list(t.samples)}
                for c, t in timings.items()
            ]
    head = ("optimizer", "model", "gpuopt", "torch's best", "time", "ratio", "asked")
    show_table("Whole step, float32", head, table, [])
    if asked.json is not None:
        asked.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
