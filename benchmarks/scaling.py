"""What a sharded step costs a rank: computed from the tables for any number, measured for few.

    python -m benchmarks.scaling                       # both pages
    python -m benchmarks.scaling --measure 1 2 --model gpt2

The computed page builds the very tables that a rank walks, for shards as FSDP2 cuts them (by rows,
the first rank has the most). Its time is a floor: the bytes over a GPU's published bandwidth; no
collective is in it. The measured page starts processes over gloo on this CPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from gpuopt.kernels.cuda.source import CHUNK
from gpuopt.kernels.storage import STORAGE, compute_dtype

from gpuopt.arrays import Memory
from gpuopt.engine.compose import Update, updates_for
from gpuopt.engine.table import Entry, Table, build_tables
from gpuopt.engine.tail import Tail
from gpuopt.inspection.gpus import GPUS
from gpuopt.rules.registry import RULES

from .arguments import known_threads, positive
from .models import MODELS, Shapes, elements, gpt2, llama, shard
from .report import load_average, seconds_text, show_machine, show_table

RANKS = (1, 2, 8, 64, 256, 1024)
_NO_OPTIONS = {"maximize": [0.0], "weight_decay": [0.01]}


LARGE: dict[str, Shapes] = {
    "124M": gpt2(),
    "7B": llama(layers=32, width=4096, keys=4096, inner=11008, words=32000, tied=False),
    "70B": llama(layers=80, width=8192, keys=1024, inner=28672, words=32000, tied=False),
}
"""GPT-2, Llama 2 7B and Llama 2 70B.

>>> elements(LARGE["7B"]), elements(LARGE["70B"])
(6738415616, 68976648192)
"""

TAILS = {
    "float32, clip_norm": ("float32", Tail(clip_norm=1.0)),
    "bfloat16, master_weights, clip_norm": ("bfloat16", Tail(clip_norm=1.0, master_weights=True)),
}
"""What is computed: AdamW with these."""


# --- computed -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rank:
    """What the fullest rank has to do, and to hold.

    Attributes:
        elements: of parameters.
        empty: tensors of which the last rank has nothing.
        launches: tables.
        table_bytes: of all tables on the device, and of what the norm needs.
        memory: bytes of parameters, gradients and states.
        traffic: bytes that a step reads and writes.
    """

    elements: int
    empty: int
    launches: int
    table_bytes: int
    memory: int
    traffic: int


def on_rank(shapes: Shapes, ranks: int, dtype: str, tail: Tail) -> Rank:
    """Build the tables of the first rank, over memory that nobody has, and add up."""
    (update,) = updates_for([RULES["adamw"]], _NO_OPTIONS, tail=tail)
    update = update.for_params(dtype)
    dtypes = _dtypes(update, dtype)
    own = shard(shapes, ranks, 0)
    tables = build_tables(list(_entries(own, update, dtypes)), CHUNK)
    empty = sum(not prod(shape) for shape in shard(shapes, ranks, ranks - 1))
    count, item = elements(own), STORAGE[dtype].itemsize
    measured = item * tail.measures  # the norm reads the gradients once more
    return Rank(
        count,
        empty,
        len(tables),
        sum(map(_bytes, tables)),
        count * sum(STORAGE[name].itemsize for name in dtypes),
        count * (update.bytes_per_element(dtypes) + measured),
    )


def _dtypes(update: Update, dtype: str) -> tuple[str, ...]:
    """Return what each list of an update holds."""
    wide = compute_dtype(dtype)
    own = update.own_states
    states = [dtype if n in own and own[n].narrow else wide for n in update.states]
    return (dtype, dtype, *states)


def _entries(shapes: Shapes, update: Update, dtypes: Sequence[str]) -> Iterator[Entry]:
    address = 1 << 40
    for i, shape in enumerate(shapes):
        memory = []
        for dtype in dtypes:
            strides = tuple(prod(shape[k + 1 :]) for k in range(len(shape)))
            memory.append(Memory("cuda:0", address, dtype, shape, strides, True, "torch"))
            address += -(-prod(shape) * STORAGE[dtype].itemsize // 512) * 512
        yield Entry(i, update, tuple(memory))


def _bytes(table: Table) -> int:
    """Return what a table takes on a device; the norm has a row of partials for each chunk."""
    arrays = (table.addresses, table.sizes, table.chunks, table.coefficients, table.carried)
    steps_and_groups = 16 * len(table.sizes)
    return (
        sum(a.nbytes for a in (*arrays, table.partials)) + steps_and_groups + 24 * len(table.chunks)
    )


def show_computed(models: Sequence[str], ranks: Sequence[int], gpu: str) -> None:
    """Print a table for each kind of training."""
    bandwidth = next(g.bandwidth for g in GPUS if g.name == gpu)
    head = ("", "ranks", "elements", "empty", "launches", "tables", "memory", "traffic", "floor")
    for what, (dtype, tail) in TAILS.items():
        rows = [
            _row(model, n, on_rank(LARGE[model], n, dtype, tail), bandwidth)
            for model in models
            for n in ranks
        ]
        notes = [
            "of the rank with most: memory is parameters, gradients and states; traffic is what a",
            f"step reads and writes; floor is traffic at {bandwidth:,.0f} GB/s, published for an",
            f"{gpu}, without launches and the all-gather of 24 bytes a rank; empty: tensors of",
            "which the last rank has nothing. All begin on 16 bytes (what does not, as FSDP2's",
            "gradients of few rows, has a table of its own). Computed, not measured.",
        ]
        show_table(f"AdamW, {what}", head, rows, notes)


def _row(model: str, ranks: int, rank: Rank, bandwidth: float) -> tuple[str, ...]:
    return (
        model,
        f"{ranks:,}",
        f"{rank.elements:,}",
        str(rank.empty),
        str(rank.launches),
        _bytes_text(rank.table_bytes),
        _bytes_text(rank.memory),
        f"{rank.traffic / 1e9:.3f} GB",
        seconds_text(rank.traffic / (1e9 * bandwidth)),
    )


def _bytes_text(count: int) -> str:
    """Return a number of bytes with its unit.

    >>> _bytes_text(3 << 20), _bytes_text(3 << 29), _bytes_text(20_000)
    ('3.0 MiB', '1.50 GiB', '19.5 KiB')
    """
    if count >= 1 << 30:
        return f"{count / (1 << 30):.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / 1024:.1f} KiB"


# --- measured -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What one rank measured of one optimizer.

    Attributes:
        elements: of its shards.
        milliseconds: of a step, with clipping.
        bytes: resident memory for each element: of parameter, gradient and states.
    """

    elements: int
    milliseconds: float
    bytes: float


def measure(optimizer: str, model: str, ranks: int, rounds: int) -> Measured:
    """Start processes over gloo; return the slowest time, and the first rank's memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.scaling", "--rank"]
        options = [str(ranks), folder, optimizer, model, str(rounds)]
        processes = [
            subprocess.Popen([*command, str(rank), *options], text=True, stdout=subprocess.PIPE)
            for rank in range(ranks)
        ]
        told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a process failed; see above")
    found = [Measured(**json.loads(text.splitlines()[-1])) for text in told]
    return replace(found[0], milliseconds=max(one.milliseconds for one in found))


def be_a_rank(rank: int, ranks: int, folder: str, optimizer: str, model: str, rounds: int) -> None:
    """Measure one rank, and print it."""
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=ranks)
    shapes = MODELS[model]
    dtype, make = OPTIMIZERS[optimizer]
    mesh = init_device_mesh("cpu", (ranks,))
    found = _alone(make, shapes, getattr(torch, dtype), mesh, rounds)
    count = elements(shard(shapes, ranks, rank))
    dist.destroy_process_group()
    print(json.dumps(asdict(Measured(count, found[0], found[1] / count))))


def _ours(params: list[Any], **tail: Any) -> Any:
    import gpuopt.torch

    return gpuopt.torch.AdamW(params, lr=1e-3, clip_norm=1.0, **tail).step


def _torchs(params: list[Any]) -> Any:
    import torch

    opt = torch.optim.AdamW(params, lr=1e-3, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()

    return step


OPTIMIZERS = {
    "gpuopt, float32": ("float32", _ours),
    "torch, float32": ("float32", _torchs),
    "gpuopt, bfloat16, master_weights": ("bfloat16", partial(_ours, master_weights=True)),
}
"""Of each the dtype of its parameters, and what makes a step from them."""


def _alone(make: Any, shapes: Shapes, dtype: Any, mesh: Any, rounds: int) -> tuple[float, int]:
    """Return the median milliseconds of a step, and the bytes that became resident."""
    import torch.distributed as dist

    small = make(_params(((4, 4),) * 2, dtype, mesh))
    small()  # what is imported and compiled is not the optimizer's memory
    before = _resident()
    step = make(_params(shapes, dtype, mesh))
    step()
    after = _resident()
    times = []
    for _ in range(rounds):
        dist.barrier()
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times), after - before


def _params(shapes: Shapes, dtype: Any, mesh: Any) -> list[Any]:
    """Return parameters and gradients of a model, sharded over the mesh, each shard touched."""
    import torch
    from torch.distributed.tensor import DTensor, Shard

    made = []
    own = shard(shapes, mesh.size(), mesh.get_local_rank())
    for whole, local in zip(shapes, own):
        stride = torch.empty(whole, device="meta").stride()

        def spread(value: float, whole: Any = whole, local: Any = local, at: Any = stride) -> Any:
            part = torch.full(local, value, dtype=dtype)
            return DTensor.from_local(
                part, mesh, [Shard(0)], run_check=False, shape=whole, stride=at
            )

        made.append(torch.nn.Parameter(spread(0.1)))
        made[-1].grad = spread(1e-3)
    return made


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def show_measured(model: str, ranks: Sequence[int], rounds: int) -> None:
    """Print what processes on this CPU measured."""
    head = ("", "processes", "elements", "AdamW", "step", "x gpuopt", "bytes an element")
    rows = []
    for n in ranks:
        found = {name: measure(name, model, n, rounds) for name in OPTIMIZERS}
        first = next(iter(found.values()))
        for name, own in found.items():
            times = own.milliseconds / first.milliseconds
            measured = seconds_text(own.milliseconds / 1e3), f"{times:.2f}", f"{own.bytes:.2f}"
            rows.append((model, str(n), f"{own.elements:,}", name, *measured))
    notes = [
        "Clipped by the norm of all shards, over gloo on this CPU, whose cores the processes",
        "share; the slowest rank's median. torch: clip_grad_norm_ and AdamW(fused=True). Each in",
        "processes of its own. Elements and bytes are the first rank's: resident memory for each",
        "element, of parameter, gradient and states, after a step (the sum of their sizes is 16).",
    ]
    show_table("Measured: a step of sharded parameters", head, rows, notes)


# --- the command --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both pages."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--large", nargs="+", choices=LARGE, default=list(LARGE))
    parser.add_argument("--ranks", nargs="+", type=positive, default=RANKS)
    parser.add_argument("--gpu", choices=[gpu.name for gpu in GPUS], default="H100")
    parser.add_argument("--measure", nargs="*", type=positive, default=(1, 2), metavar="PROCESSES")
    parser.add_argument("--model", choices=MODELS, default="gpt2", help="of the measured page")
    parser.add_argument("--rounds", type=positive, default=9)
    given = parser.parse_args(arguments)
    threads = known_threads()
    if threads is None:
        return 2
    show_computed(given.large, given.ranks, given.gpu)
    if given.measure:
        show_machine(load_average(), threads)
        show_measured(given.model, given.measure, given.rounds)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        be_a_rank(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:7], int(sys.argv[7]))
        sys.exit(0)
    sys.exit(main())
