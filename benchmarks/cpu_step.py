"""Time whole optimizer steps on the CPU, in float32, beside the peers.

    python -m benchmarks.cpu_step --rules adam sgd --models 16m tiny500 --rounds 11 --json out.json

All contenders update the same memory, in turns, in one process, with the same number of
threads. Before that each one is checked to compute the same; whoever does not is named and left
out. GB/s counts the bytes that the rule has to move (read all, write all but the gradient).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gpuopt.kernels.threads import thread_count

from .arguments import positive, writable
from .cases import CASES
from .contender import Unavailable
from .models import MODELS
from .ours import OURS
from .peers import PEERS, import_torch
from .report import as_data, load_average, show, show_machine, show_targets
from .suite import measure
from .timing import threads


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = _parser().parse_args(arguments)
    with suppress(Unavailable):
        import_torch()  # before its threads are counted
    makers = {**OURS, **{name: PEERS[name] for name in asked.peers}}
    if asked.json is not None and not writable(asked.json):
        return 2
    show_machine(load := load_average(), asked.threads)
    results = []
    with threads(asked.threads):
        for model in asked.models:
            for rule in asked.rules:
                result = measure(CASES[rule], model, MODELS[model], makers, asked.rounds)
                show(result)
                results.append(result)
    show_targets(results)
    if asked.json is not None:
        data = as_data(results, asked.threads, asked.rounds, load)
        asked.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu_step", description=(__doc__ or "").partition("\n")[0]
    )
    for name, known in (("rules", CASES), ("models", MODELS), ("peers", PEERS)):
        parser.add_argument(
            f"--{name}", nargs="+", choices=known, default=list(known), help="default: all"
        )
    parser.add_argument("--rounds", type=positive, default=11, help="samples of each contender")
    parser.add_argument(
        "--threads", type=positive, default=thread_count(), help="for gpuopt and torch alike"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all of it goes as data")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
