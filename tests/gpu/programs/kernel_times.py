"""The time of each kernel and of whole steps without the host, beside a copy; and the host's."""

import json
import sys
import time
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import torch

import gpuopt
from benchmarks.models import MODELS
from tests.gpu.programs.common import adam, parameters, parser, wait
from tests.gpu.programs.timing import copy_rate, host_seconds, kernels, replayed

SIZES = {"float32": 4, "bfloat16": 2}
BACKENDS = {"cuda": ("triton", "cupy"), "cpu": ("numpy",)}


@dataclass(frozen=True)
class Case:
    """A step of Adam.

    Attributes:
        name: in the results.
        shapes: of the tensors.
        dtype: of parameters and gradients.
        options: of gpuopt's Adam; torch's is measured where it has them all.
    """

    name: str
    shapes: tuple
    dtype: str = "float32"
    options: dict = field(default_factory=dict)

    def bytes(self, who):
        """Return the bytes that a step reads and writes: parameter and states twice."""
        size = SIZES[self.dtype]
        state = size if who == "torch" else SIZES[self.options.get("state_dtype", "float32")]
        each = 3 * size + 4 * state
        each += size * ("clip_norm" in self.options) + 8 * ("ema_decay" in self.options)
        return each * sum(map(prod, self.shapes))


def one(elements, dtype="float32"):
    return Case(f"{elements >> 20}M {dtype}", ((elements,),), dtype)


CASES = {
    "cuda": (
        one(1 << 20),
        one(1 << 24),
        one(1 << 28),
        Case("gpt2", MODELS["gpt2"]),
        Case("tiny500", MODELS["tiny500"]),
        one(1 << 28, "bfloat16"),
        Case("256M narrow states", ((1 << 28,),), "bfloat16", {"state_dtype": "bfloat16"}),
        Case("gpt2 clip ema", MODELS["gpt2"], "float32", {"clip_norm": 1.0, "ema_decay": 0.999}),
    ),
    "cpu": (one(1 << 20), Case("clip", ((1 << 14,),), "bfloat16", {"clip_norm": 1.0})),
}
COUNTS = {"cuda": (1, 148, 500, 5000), "cpu": (1, 3)}


def main():
    asked = parser(__doc__)
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    found, failed = {}, []
    for name, run in measurements(given.device, found):
        try:
            found[name] = run()
            print(f"{name}: {json.dumps(found[name])}", flush=True)
        except Exception as error:
            failed.append(name)
            print(f"{name} FAILED: {type(error).__name__}: {error}", flush=True)
            wait(given.device)  # fails, and ends all, if the device can do nothing any more
        if given.json:
            given.json.write_text(f"{json.dumps(found, indent=2)}\n", encoding="utf-8")
    print(f"{len(found)} measured, {len(failed)} failed: {', '.join(failed) or 'none'}")
    return bool(failed)


def measurements(device, found):
    """Yield the name of each measurement, and the function that makes it."""
    yield "copy", lambda: {"bytes_per_second": copy_rate(device)}
    for backend in BACKENDS[device]:
        yield f"first steps, {backend}", lambda who=backend: first_steps(who, device)
    for count in COUNTS[device]:
        for who in (*BACKENDS[device], "torch"):
            yield f"host, {count} tensors, {who}", lambda who=who, n=count: host(who, n, device)
    for case in CASES[device]:
        for who in (*BACKENDS[device], *(() if case.options else ("torch",))):
            rate = found.get("copy", {}).get("bytes_per_second")
            yield f"{case.name}, {who}", lambda c=case, w=who, r=rate: step_of(c, w, device, r)
    if device == "cuda" and torch.cuda.mem_get_info()[0] > 12 << 30:
        for backend in BACKENDS[device]:
            yield f"norm of 2G elements, {backend}", lambda who=backend: large_norm(who)


def first_steps(backend, device):
    """Return the seconds of the first three steps of a rule; the first one may compile."""
    params, taken = parameters(((1000,),), torch.float32, device), []
    step = adam(backend, params, weight_decay=0.01, maximize=True)
    for _ in range(3):
        wait(device)
        start = time.perf_counter()
        step()
        wait(device)
        taken.append(time.perf_counter() - start)
    return {"seconds": taken}


def host(who, count, device):
    """Return the seconds that a step over many small tensors keeps the host."""
    step = adam(who, parameters(((64,),) * count, torch.float32, device))
    return {"seconds": host_seconds(step, device)}


def step_of(case, who, device, rate):
    """Return the seconds of a step, its bandwidth, and the time of each of its kernels."""
    options = {"capturable": True} if (who, device) == ("torch", "cuda") else case.options
    step = adam(who, parameters(case.shapes, getattr(torch, case.dtype), device), **options)
    seconds = replayed(step, device)
    speed = case.bytes(who) / seconds
    part = speed / rate if rate else None
    each = kernels(step, device)
    return {"seconds": seconds, "bytes_per_second": speed, "of_copy": part, "kernels": each}


def large_norm(backend):
    """Return the kernels of a clipped step over 2^31 elements: 262,144 rows of partials."""
    param = torch.zeros(1 << 31, dtype=torch.bfloat16, device="cuda")
    grad = torch.full_like(param, 1e-4)
    optimizer = gpuopt.SGD([param], lr=0.1, clip_norm=1.0)

    def step():
        with gpuopt.use_backend(backend):
            optimizer.step([grad])

    return {"kernels": kernels(step, "cuda", repeats=3, flush=False)}


if __name__ == "__main__":
    sys.exit(main())
