"""Tables of the memory that steps and checkpoints need."""

from __future__ import annotations

from .cells import groups, mebibytes, table


def memory_table() -> str:
    """Return the memory that operations need beside the tensors."""
    storages = ("float32", "float16", "8bit")
    names = {"gpt2": "GPT-2", "llama-1b": "Llama 1B", "llama-1b, sampled": "18 of its tensors"}
    rows = []
    for model, name in names.items():
        (group,) = groups("memory", model=model)
        operations = dict.fromkeys(line.contender.partition(": ")[2] for line in group.lines)
        for operation in operations:
            sizes = (mebibytes(group.line(f"{s}: {operation}")) for s in storages)
            rows.append((f"{name}: {operation}", *sizes))
    return table(("MiB", *storages), rows, "memory")


def in_backward_table() -> str:
    """Return the memory of gradients, with steps in the backward pass and without."""
    group = groups("memory")[0]
    rows = [(line.contender, mebibytes(line)) for line in group.lines]
    return table((f"gradients of {group.place.model}", "MiB"), rows, "memory")
