"""The computed page: the tables of one rank, built for any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from gpuopt.kernels.cuda.source import CHUNK
from gpuopt.kernels.storage import STORAGE, compute_dtype

from gpuopt.arrays import Memory
from gpuopt.engine.compose import Update, updates_for
from gpuopt.engine.table import Entry, Table, build_tables
from gpuopt.engine.tail import Tail
from gpuopt.inspection.gpus import GPUS
from gpuopt.rules.registry import RULES

from ..models import Shapes, elements, gpt2, llama, shard
from ..report import seconds_text, show_table

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
"""Dtype and tail of each variant of AdamW."""


@dataclass(frozen=True)
class Rank:
    """The work and memory of the first rank, which holds the most.

    Attributes:
        elements: the number of elements of its parameters.
        empty: the number of tensors whose shard on the last rank is empty.
        launches: the number of launches, one per table.
        table_bytes: the size of all tables on the device, including the norm's buffers.
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
    """Return the costs of the first rank, from its tables, without allocating their arrays."""
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
    """Return the dtype of each list of an update."""
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
    """Return the size of a table on a device; the norm adds a row of partials per chunk."""
    arrays = (table.addresses, table.sizes, table.chunks, table.coefficients, table.carried)
    steps_and_groups = 16 * len(table.sizes)
    return (
        sum(a.nbytes for a in (*arrays, table.partials)) + steps_and_groups + 24 * len(table.chunks)
    )


HEAD = ("", "ranks", "elements", "empty", "launches", "tables", "memory", "traffic", "floor")


def rank_row(model: str, ranks: int, gpu: str = "H100") -> dict[str, str]:
    """Return a row of the table of AdamW in float32, by `HEAD`."""
    dtype, tail = next(iter(TAILS.values()))
    row = _row(model, ranks, on_rank(LARGE[model], ranks, dtype, tail), _bandwidth(gpu))
    return dict(zip(HEAD, row))


def _bandwidth(gpu: str) -> float:
    return next(g.bandwidth for g in GPUS if g.name == gpu)


def show_computed(models: Sequence[str], ranks: Sequence[int], gpu: str) -> None:
    """Print a table for each variant."""
    bandwidth = _bandwidth(gpu)
    for what, (dtype, tail) in TAILS.items():
        rows = [
            _row(model, n, on_rank(LARGE[model], n, dtype, tail), bandwidth)
            for model in models
            for n in ranks
        ]
        notes = [
            "Computed, not measured, for the first rank, which holds the most. Empty: tensors of",
            "which the last rank's shard is empty. Memory: parameters, gradients and states.",
            f"Floor: the traffic at {bandwidth:,.0f} GB/s, the published bandwidth of the {gpu},",
            "without launches and the all-gather of 24 bytes per rank. All tensors are aligned to",
            "16 bytes (others, such as FSDP2's gradients of few rows, get a table of their own).",
        ]
        show_table(f"AdamW, {what}", HEAD, rows, notes)


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
