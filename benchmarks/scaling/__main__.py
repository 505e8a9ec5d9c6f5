"""The command line of the scaling pages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from json import dumps
from typing import Annotated

from gpuopt.inspection.gpus import GPUS

from .. import scaling
from ..arguments import known_threads, writable
from ..command_line import Exit, File, names, option, run, single, texts
from ..models import MODELS
from ..report import load_average, show_machine
from .computed import LARGE, show_computed
from .measured import show_measured

RANKS = (1, 2, 8, 64, 256, 1024)


MEASURED = (1, 2)

Large = Annotated[list[names(LARGE)] | None, option(metavar="MODEL", help=", ".join(LARGE))]
Ranks = Annotated[
    list[int] | None,
    option(min=1, metavar="N", help=f"default: {', '.join(map(str, RANKS))}"),
]
Gpu = Annotated[names(gpu.name for gpu in GPUS), option(help="default: H100")]
Measure = Annotated[
    list[int] | None,
    option(min=0, metavar="PROCESSES", help="default: 1, 2; 0 leaves the measured page out"),
]
Models = Annotated[
    list[names(MODELS)] | None,
    option(metavar="MODEL", help=f"of the measured page: {', '.join(MODELS)}; default: gpt2"),
]
Rounds = Annotated[int, option(min=1, metavar="N", help="default: 9")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(single(pages, scaling.__doc__), "benchmarks.scaling", arguments)


def pages(
    large: Large = None,
    ranks: Ranks = None,
    gpu: Gpu = "H100",
    measure: Measure = None,
    model: Models = None,
    rounds: Rounds = 9,
    json: File = None,
) -> None:
    """Print both pages; write what was measured."""
    threads = known_threads()
    if threads is None or not writable([json]):
        raise Exit(2)
    show_computed(texts(large) or list(LARGE), ranks or RANKS, gpu.value)
    if processes := list(filter(None, MEASURED if measure is None else measure)):
        show_machine(load_average(), threads)
        models = texts(model) or ["gpt2"]
        rows = show_measured(models, processes, rounds)
        if json is not None:
            given = f"--model {' '.join(models)} --rounds {rounds}"
            command = f"python -m benchmarks.scaling {given}"
            found = {"date": date.today().isoformat(), "command": command, "rows": rows}
            json.write_text(dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
