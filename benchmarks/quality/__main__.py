"""The command line of the training runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from json import dumps
from typing import Annotated, Any

from .. import quality
from ..arguments import known_threads, writable
from ..buffers import import_torch
from ..command_line import Exit, File, names, option, run, single, texts
from ..report import load_average, show_machine
from ..step import Unavailable
from .methods import METHODS, STORAGES, Method
from .tasks import TASKS, Task
from .training import trained
from .verdicts import BASE, Losses, rows
from .verdicts import markdown as table_of

Tasks = Annotated[list[names(TASKS)] | None, option(metavar="TASK", help=", ".join(TASKS))]
Optimizers = Annotated[
    list[names(METHODS)] | None, option(metavar="OPTIMIZER", help=", ".join(METHODS))
]
Storages = Annotated[
    list[names(STORAGES)] | None, option(metavar="STORAGE", help=", ".join(STORAGES))
]
Seeds = Annotated[int, option(min=1, metavar="N", help="how many; default: 5")]
Steps = Annotated[
    int | None, option(min=1, metavar="N", help="of a training; default: the task's own")
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(single(train, quality.__doc__), "benchmarks.quality", arguments)


def train(
    task: Tasks = None,
    optimizers: Optimizers = None,
    storage: Storages = None,
    seeds: Seeds = 5,
    steps: Steps = None,
    json: File = None,
    markdown: File = None,
) -> None:
    """Train, and print the table; exit with 1 if "8bit" is worse than float32 anywhere."""
    threads = known_threads()
    if threads is None or not writable([json, markdown]):
        raise Exit(2)
    import_torch().set_num_threads(threads)
    show_machine(load_average(), threads)
    storages = list(dict.fromkeys([BASE, *(texts(storage) or STORAGES)]))
    found, table = [], []
    for name in texts(task) or TASKS:
        some_steps = steps or TASKS[name].steps
        for method in (METHODS[one] for one in texts(optimizers) or METHODS):
            losses = _losses(TASKS[name], method, storages, seeds, some_steps)
            table += list(rows(f"{name}, {some_steps}", method.name, losses))
            found.append(_line(TASKS[name], method, some_steps, losses))
            if json is not None:  # after every optimizer, since a run takes long
                json.write_text(dumps(found, indent=1) + "\n")
    if markdown is not None:
        markdown.write_text(table_of(table) + "\n")
    raise Exit(any(row[2] == "8bit" and row[-1] == "ABOVE" for row in table))


def _losses(task: Task, method: Method, storages: Sequence[str], seeds: int, steps: int) -> Losses:
    """Return the losses of each storage available on this machine, printing them as they come."""
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
