"""Write kernels to files, with a manifest for launching them from other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..engine.table import VECTOR
from ..kernels.storage import compute_dtype
from . import ptx
from .backends import BACKENDS
from .cache import entry_of, read_code
from .cases import Case
from .code import Code
from .source import text_of

MANIFEST = "manifest.json"

STEP = (
    "A step is two launches on one stream: first the coefficients kernel, which increments the "
    "step counts and computes each tensor's coefficients, then the update, one block per row of "
    "chunks. A tensor of n elements has the chunks 0 ... ceil(n / chunk) - 1. All pointers are to "
    "device memory; tables are aligned to 16 bytes, arrays to the kernel's alignment."
)


def dump(cases: Sequence[Case], folder: Path) -> Path:
    """Write source, ``.ptx`` and ``.cubin`` of each case, and a manifest; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    backends = sorted({case.backend for case in cases})
    manifest = {
        "compilers": {name: BACKENDS[name].release for name in backends},
        "step": STEP,
        "kernels": [_dump_one(case, read_code(entry_of(case)), folder) for case in cases],
    }
    file = folder / MANIFEST
    file.write_text(json.dumps(manifest, indent=2) + "\n")
    return file


def _dump_one(case: Case, code: Code, folder: Path) -> dict[str, Any]:
    source = f"{case.label}{BACKENDS[case.backend].suffix}"
    (folder / source).write_text(text_of(case))
    (folder / f"{case.label}.ptx").write_text(code.ptx)
    (folder / f"{case.label}.cubin").write_bytes(code.cubin)
    common = {
        "name": case.label,
        "source": source,
        "ptx": f"{case.label}.ptx",
        "cubin": f"{case.label}.cubin",
        "entry": ptx.parse(code.ptx).name,
        "kernel": case.kernel,
        "backend": case.backend,
        "rule": case.rule,
        "variant": case.variant,
        "arch": case.arch,
        "arguments": [asdict(argument) for argument in code.arguments],
        "grid": [code.grid, 1, 1],
        "threads": code.threads,
        "dynamic_shared_bytes": code.shared,
    }
    if case.adds_up:
        return common
    common["coefficients"] = list(case.walked.coefficient_names)
    common["coefficients_dtype"] = compute_dtype(case.list_dtypes[0])
    return {**common, **(_of_update if case.kernel == "update" else _of_coefficients)(case, code)}


def _of_update(case: Case, code: Code) -> dict[str, Any]:
    update = case.walked
    return {
        "coefficients_kernel": None if case.measures else case.coefficients.label,
        "chunk": code.elements,
        "alignment": VECTOR if case.vectors else "that of an element",
        "lists": [
            {"name": name, "dtype": dtype, "written": index in update.written}
            for index, (name, dtype) in enumerate(zip(update.lists, case.list_dtypes))
        ],
    }


def _of_coefficients(case: Case, code: Code) -> dict[str, Any]:
    return {"options": list(case.walked.option_names)}
