"""The command line of the scaling pages."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from gpuopt.inspection.gpus import GPUS

from .. import lines, scaling
from ..arguments import known_threads, positive, without_files, writable
from ..models import MODELS
from ..report import load_average, show_machine
from .computed import LARGE, show_computed
from .measured import show_measured

RANKS = (1, 2, 8, 64, 256, 1024)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both pages."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=scaling.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--large", nargs="+", choices=LARGE, default=list(LARGE))
    parser.add_argument("--ranks", nargs="+", type=positive, default=RANKS)
    parser.add_argument("--gpu", choices=[gpu.name for gpu in GPUS], default="H100")
    parser.add_argument("--measure", nargs="*", type=positive, default=(1, 2), metavar="PROCESSES")
    parser.add_argument(
        "--model", nargs="+", choices=MODELS, default=["gpt2"], help="of the measured page"
    )
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(arguments)
    threads = known_threads()
    if threads is None or not writable([given.json]):
        return 2
    show_computed(given.large, given.ranks, given.gpu)
    if given.measure:
        show_machine(load := load_average(), threads)
        rows = [
            row
            for model in given.model
            for row in show_measured(model, given.measure, given.rounds)
        ]
        if given.json is not None:
            command = shlex.join(["python", "-m", "benchmarks.scaling", *without_files(arguments)])
            facts = lines.facts(command, "cpu", threads, given.rounds, load)
            given.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
