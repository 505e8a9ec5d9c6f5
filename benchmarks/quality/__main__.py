"""The command line of the trainings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import quality
from ..arguments import known_threads, positive, writable
from ..buffers import import_torch
from ..report import load_average, show_machine
from ..step import Unavailable
from .methods import METHODS, STORAGES, Method
from .tasks import TASKS, Task
from .training import trained
from .verdicts import BASE, Losses, markdown, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print the table; return 1 if "8bit" is worse than float32 anywhere."""
    parser = _parser()
    given = parser.parse_args(arguments)
    threads = known_threads()
    if threads is None or not writable([given.json, given.markdown]):
        return 2
    import_torch().set_num_threads(threads)
    show_machine(load_average(), threads)
    storages = list(dict.fromkeys([BASE, *given.storage]))
    found, table = [], []
    for task in map(TASKS.__getitem__, given.task):
        steps = given.steps or task.steps
        for method in map(METHODS.__getitem__, given.optimizers):
            losses = _losses(task, method, storages, given.seeds, steps)
            table += list(rows(f"{task.name}, {steps}", method.name, losses))
            found.append(_line(task, method, steps, losses))
            if given.json is not None:  # after every optimizer: a run takes long
                given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.markdown is not None:
        given.markdown.write_text(markdown(table) + "\n")
    worse = [row for row in table if row[2] == "8bit" and row[-1] == "ABOVE"]
    return int(bool(worse))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=quality.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--optimizers", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--seeds", type=positive, default=5, help="how many")
    parser.add_argument("--steps", type=positive, help="of a training; default: the task's own")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


def _losses(task: Task, method: Method, storages: Sequence[str], seeds: int, steps: int) -> Losses:
    """Return the losses of each storage that this machine has, and print them as they come."""
    found: dict[str, list[float]] = {}
    for name in storages:
        try:
            own = [trained(task, method, STORAGES[name], seed, steps) for seed in range(seeds)]
        except Unavailable as error:
            print(f"{task.name}, {method.name}: {error}", file=sys.stderr)
            continue
        found[name] = own
        print(*list(rows(task.name, method.name, {BASE: found[BASE], name: own}))[-1], flush=True)
    return found


def _line(task: Task, method: Method, steps: int, losses: Losses) -> Mapping[str, Any]:
    options = {name: value for name, value in method.options.items()}
    own = {"task": task.name, "optimizer": method.name, "options": options, "steps": steps}
    return {**own, "losses": losses}


if __name__ == "__main__":
    sys.exit(main())
