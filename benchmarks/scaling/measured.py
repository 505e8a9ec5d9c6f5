"""The measured page: processes with gloo on this CPU, one per rank.

Run as ``python -m benchmarks.scaling.measured RANK RANKS FOLDER OPTIMIZER MODEL ROUNDS``, this
module is one of these processes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from gpuopt.system.search_path import module_command

from ..memory import resident_bytes
from ..models import MODELS, Shapes, elements, shard
from ..report import seconds_text, show_table


@dataclass(frozen=True)
class Measured:
    """One optimizer on one rank.

    Attributes:
        elements: the number of elements of its shards.
        milliseconds: time per step, with clipping.
        bytes: resident memory per element of parameters, gradients and states.
    """

    elements: int
    milliseconds: float
    bytes: float


def measure(optimizer: str, model: str, ranks: int, rounds: int) -> Measured:
    """Start the processes; return the slowest time and the first rank's memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = module_command(__name__)
        options = [str(ranks), folder, optimizer, model, str(rounds)]
        processes = [
            subprocess.Popen([*command, str(rank), *options], text=True, stdout=subprocess.PIPE)
            for rank in range(ranks)
        ]
        outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a process failed; see above")
    found = [Measured(**json.loads(text.splitlines()[-1])) for text in outputs]
    return replace(found[0], milliseconds=max(one.milliseconds for one in found))


def run_rank(rank: int, ranks: int, folder: str, optimizer: str, model: str, rounds: int) -> None:
    """Measure one rank; print the result as JSON."""
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=ranks)
    shapes = MODELS[model]
    dtype, make = OPTIMIZERS[optimizer]
    mesh = init_device_mesh("cpu", (ranks,))
    found = _cost(make, shapes, getattr(torch, dtype), mesh, rounds)
    count = elements(shard(shapes, ranks, rank))
    dist.barrier()  # gloo may abort where one process ends before another
    dist.destroy_process_group()
    print(json.dumps(asdict(Measured(count, found[0], found[1] / count))))


def _gpuopt_step(params: list[Any], **tail: Any) -> Any:
    import gpuopt.torch

    return gpuopt.torch.AdamW(params, lr=1e-3, clip_norm=1.0, **tail).step


def _torch_step(params: list[Any]) -> Any:
    import torch

    opt = torch.optim.AdamW(params, lr=1e-3, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()

    return step


OPTIMIZERS = {
    "gpuopt, float32": ("float32", _gpuopt_step),
    "torch, float32": ("float32", _torch_step),
    "gpuopt, bfloat16, master_weights": ("bfloat16", partial(_gpuopt_step, master_weights=True)),
}
"""For each, the dtype of its parameters, and a function that returns the step over them."""


def _cost(make: Any, shapes: Shapes, dtype: Any, mesh: Any, rounds: int) -> tuple[float, int]:
    """Return the median milliseconds of a step, and the resident bytes it added."""
    import torch.distributed as dist

    small = make(_params(((4, 4),) * 2, dtype, mesh))
    small()  # imports and compiles, which is not the optimizer's memory
    before = resident_bytes()
    step = make(_params(shapes, dtype, mesh))
    step()
    after = resident_bytes()
    times = []
    for _ in range(rounds):
        dist.barrier()
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times), after - before


def _params(shapes: Shapes, dtype: Any, mesh: Any) -> list[Any]:
    """Return parameters and gradients of a model, sharded over the mesh and initialized."""
    import torch
    from torch.distributed.tensor import DTensor, Shard

    made = []
    own = shard(shapes, mesh.size(), mesh.get_local_rank())
    for whole, local in zip(shapes, own):
        stride = torch.empty(whole, device="meta").stride()

        def sharded(value: float, whole: Any = whole, local: Any = local, at: Any = stride) -> Any:
            part = torch.full(local, value, dtype=dtype)
            return DTensor.from_local(
                part, mesh, [Shard(0)], run_check=False, shape=whole, stride=at
            )

        made.append(torch.nn.Parameter(sharded(0.1)))
        made[-1].grad = sharded(1e-3)
    return made


def show_measured(models: Sequence[str], ranks: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Print the measurements of processes on this CPU, and return them."""
    head = ("", "processes", "elements", "AdamW", "step", "x gpuopt", "bytes an element")
    rows, data = [], []
    for model, n in product(models, ranks):
        found = {name: measure(name, model, n, rounds) for name in OPTIMIZERS}
        first = next(iter(found.values()))
        for name, own in found.items():
            times = own.milliseconds / first.milliseconds
            measured = seconds_text(own.milliseconds / 1e3), f"{times:.2f}", f"{own.bytes:.2f}"
            rows.append((model, str(n), f"{own.elements:,}", name, *measured))
            data.append({"model": model, "processes": n, "optimizer": name, **asdict(own)})
    notes = [
        "Median of the slowest rank, clipping by the norm of all shards included. The processes",
        "share this CPU's cores and communicate over gloo; each optimizer has its own processes.",
        "torch: clip_grad_norm_ and AdamW(fused=True). Elements and bytes are the first rank's:",
        "resident memory per element after a step (parameter, gradient and states add up to 16).",
    ]
    show_table("Measured: a step of sharded parameters", head, rows, notes)
    return data


if __name__ == "__main__":
    run_rank(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6], int(sys.argv[6]))
