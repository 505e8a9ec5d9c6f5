"""Time what a step costs the host, with the launch itself left out.

    python -m benchmarks.host_overhead --sizes 1 148 500 5000 --rounds 11 --json out.json

The same torch tensors, of 64 elements each, for both: `gpuopt.Adam` on the Triton path with its
two kernel launches replaced by nothing, and `torch.optim.Adam(fused=True)` with
`torch._fused_adam_` replaced by nothing. ``again`` steps with the gradients of the last step,
``new`` with new tensor objects each time, as after ``zero_grad(set_to_none=True)``. What Triton
needs to launch a kernel (some tens of microseconds, twice a step) is in neither.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import gpuopt
from gpuopt import dispatch

from .arguments import positive, writable
from .contender import Step
from .peers import import_torch
from .report import load_average, seconds_text, show_machine, show_table
from .timing import Timing, interleaved

SIZES = (1, 148, 500, 5000)
TARGET = 5.0
"""How many times as long torch's own step has to take, from 148 tensors on."""


class NoLaunch:
    """A kernel that does nothing."""

    def warmup(self, *args: Any, **kwargs: Any) -> None:
        """Compile nothing."""

    def __getitem__(self, grid: object) -> Callable[..., None]:
        """Return a launcher."""
        return lambda *args, **kwargs: None


@contextmanager
def without_launches() -> Iterator[None]:
    """Let Triton's path take CPU tensors, and launch nothing."""
    from gpuopt.kernels import triton_cuda

    import_torch()
    stubs: dict[str, Any] = {"SIMULATED_ON": ("cpu",)}
    stubs |= {"multi_tensor_update": NoLaunch(), "multi_tensor_coefficients": NoLaunch()}
    usable = mock.patch.object(dispatch, "_problem", lambda *backend: None)
    with mock.patch.multiple(triton_cuda, **stubs), usable, gpuopt.use_backend("triton"):
        yield


def contenders(count: int) -> dict[str, Step]:
    """Return the steps over ``count`` tensors."""
    torch = import_torch()
    params = [torch.zeros(64) for _ in range(count)]
    grads = [torch.ones(64) for _ in range(count)]
    ours = gpuopt.Adam(params)
    theirs = torch.optim.Adam(params, fused=True)
    for param, grad in zip(params, grads):
        param.grad = grad
    with without_launches():
        ours.step(grads)
    theirs.step()
    return {
        "gpuopt, again": Step(lambda: ours.step(grads), without_launches),
        "gpuopt, new": Step(lambda: ours.step([g.detach() for g in grads]), without_launches),
        "(new objects)": Step(lambda: [g.detach() for g in grads]),
        "torch fused": Step(
            theirs.step, lambda: mock.patch.object(torch, "_fused_adam_", lambda *a, **k: None)
        ),
    }


def rows(count: int, timings: dict[str, Timing]) -> Iterator[tuple[str, ...]]:
    """Yield a row a contender; making the new objects is subtracted from ``new``."""
    torch = timings["torch fused"].median
    for name, timing in timings.items():
        seconds = timing.median
        if name.endswith("new"):
            seconds -= timings["(new objects)"].median
        ratio = f"{torch / seconds:.1f}x" if name.startswith("gpuopt") else ""
        yield f"{count}", name, seconds_text(seconds), ratio


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host_overhead")
    parser.add_argument("--sizes", nargs="+", type=positive, default=list(SIZES))
    parser.add_argument("--rounds", type=positive, default=11)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.json is not None and not writable(asked.json):
        return 2
    show_machine(load_average(), 1)
    table: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    for count in asked.sizes:
        timings = interleaved(contenders(count), asked.rounds)
        table += rows(count, timings)
        data += [{"tensors": count, "name": n, "seconds": t.median} for n, t in timings.items()]
    head = ("tensors", "step", "host time", "torch takes")
    show_table("Host time of Adam's step, nothing launched", head, table, [])
    if asked.json is not None:
        asked.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
