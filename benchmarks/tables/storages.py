"""Tables of the storages of states and weights."""

from __future__ import annotations

from collections.abc import Iterator

from gpuopt.kernels.storage import STORAGE

from ..contest import kept_bytes_of
from ..lines import Group, Line
from ..suites.storage import STORAGES
from .cells import bytes_of, groups, ratio, table, time

LABELS = {
    "float32": ("float32", "float32"),
    "bfloat16": ("float32", "bfloat16 states"),
    "8bit": ("float32", "8bit"),
    "float32 masters": ("bfloat16", "float32 masters"),
}
"""For each contender, the dtype of parameters, and the storage of weights and states."""


def _label(contender: str) -> tuple[str, str]:
    return LABELS.get(contender, ("bfloat16", contender))


def _ours(name: str, tail: bool = False) -> Iterator[tuple[Group, Line]]:
    for group in groups(name):
        if group.place.model.endswith("whole tail") is tail:
            yield from ((group, line) for line in group.lines if line.ours)


def storage_table(name: str) -> str:
    """Return the bytes and times of each storage in a file."""
    peers = [p for p in ("torch fused", "DeepSpeed") if any(g.line(p) for g in groups(name))]
    head = (
        "parameters",
        "states, weights",
        "bytes",
        "time per step",
        *(f"x {peer}" for peer in peers),
    )
    rows = [
        (
            *_label(line.contender),
            bytes_of(group, line.contender),
            time(line),
            *(ratio(line, peer) for peer in peers),
        )
        for group, line in _ours(name)
    ]
    blank = [""] * len(peers)
    theirs = [
        (group.place.dtype, f"*{peer}*", bytes_of(group, peer), time(group.line(peer)), *blank)
        for group in groups(name)
        if not group.place.model.endswith("whole tail")
        for peer in peers
    ]
    return table(head, [*rows, *theirs], name)


README_ROWS = (
    ("float32", "torch fused", "**torch**, float32"),
    ("float32", "float32", "**gpuopt**, float32"),
    ("float32", "8bit", "... with 8-bit states"),
    ("bfloat16", "torch fused", "**torch**, bfloat16, float32 masters by hand"),
    ("bfloat16", "float32 masters", "**gpuopt**, bfloat16, float32 masters"),
    ("bfloat16", "split16", "... 32-bit weights in 16 + 16 bits"),
    ("bfloat16", "split8, 8bit", "... 24-bit weights, 8-bit states"),
)
"""The rows of README's table: the parameters' dtype, the contender, and the label."""


def readme_table() -> str:
    """Return the table of README."""
    head = ("AdamW on GPT-2, 124M parameters", "bytes kept", "bytes moved", "speed on the CPU")
    rows = []
    for dtype, contender, label in README_ROWS:
        (group,) = [g for g in groups("storage", dtype=dtype) if "tail" not in g.place.model]
        line = group.line(contender)
        speed = "1" if contender == "torch fused" else ratio(line, "torch fused")
        rows.append((label, _kept(dtype, contender), bytes_of(group, contender), speed))
    return table(head, rows, "storage")


def _kept(dtype: str, contender: str) -> str:
    """Return the bytes of a parameter and its states, without its gradient."""
    own = "float32 masters" if (dtype, contender) == ("bfloat16", "torch fused") else contender
    states = kept_bytes_of("adamw", dtype, STORAGES[dtype].get(own, {}))
    return f"{STORAGE[dtype].itemsize + states:g}"


def whole_tail_table() -> str:
    """Return the times of each storage with the whole tail of a step."""
    (group,) = [g for g in groups("storage-one-core") if g.place.model.endswith("whole tail")]
    peers = ("torch calls", "torch calls, grad_scale")
    head = ("", "bytes", "time per step", *(f"x {peer}" for peer in peers))
    rows = []
    for line in group.lines:
        stats = ", no stats" if "no stats" in line.contender else ""
        ratios = (ratio(line, peer + stats) if line.ours else "" for peer in peers)
        rows.append((line.contender, bytes_of(group, line.contender), time(line), *ratios))
    return table(head, rows, "storage-one-core")


def cache_table() -> str:
    """Return the time of an element in the cache."""
    columns = {"AVX-512": "cache", "AVX2": "cache-avx2"}
    contenders = [(group.place.dtype, line) for group in groups("cache") for line in group.lines]
    rows = []
    for dtype, line in contenders:
        label = _label(line.contender) if line.ours else (dtype, f"*{line.contender}*")
        rows.append((*label, *(_nanoseconds(f, dtype, line.contender) for f in columns.values())))
    return table(("parameters", "states, weights", *columns), rows, *columns.values())


def _nanoseconds(file: str, dtype: str, contender: str) -> str:
    (group,) = groups(file, dtype=dtype)
    line = group.line(contender)
    if file == "cache-avx2" and contender == "torch fused":
        return ""  # torch ignores the variable that limits our code to AVX2
    return f"{line.seconds_an_element * 1e9:.2f}" if line and line.seconds_an_element else ""
