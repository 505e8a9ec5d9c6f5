"""The command of the benchmarks.

python -m benchmarks --suite update --rule adam --model gpt2 --json new.json
python -m benchmarks compare old.json new.json --threshold 0.1
python -m benchmarks render new.json --plot docs --report report.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from gpuopt.inspection.spelling import ALIASES

from . import lines, targets
from .arguments import known_threads, part, positive, size_text, sizes, writable
from .buffers import DTYPES, import_torch
from .cases import CASES
from .compare import HEAD, THRESHOLD, changes
from .models import MODELS, Shapes
from .peers import PEERS
from .report import load_average, markdown, show, show_machine, show_table
from .step import Unavailable
from .suites import SUITES, Asked, suite
from .timing import threads

ALL = "all"
DEFAULT_MODELS = ("gpt2", "resnet50", "tiny500")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare, "render": _render}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return _measure(arguments)


# --- measure ------------------------------------------------------------------------------------


def _measure(arguments: Sequence[str]) -> int:
    with suppress(Unavailable):
        import_torch()  # before its threads are counted
    here = known_threads()
    if here is None:
        return 2
    parser = _parser(here)
    given = parser.parse_args(arguments)
    peers = [name for name in PEERS[given.device] if not given.peers or name in given.peers]
    if elsewhere := [name for name in given.peers if name not in peers]:
        parser.error(f"--peers: on another device than {given.device}: {', '.join(elsewhere)}")
    if not writable((given.json, given.report), given.plot):
        return 2
    asked = Asked(
        rules=_some(given.rule or ["adam"], CASES),
        dtypes=_some(given.dtype or ["float32"], DTYPES),
        models=_models(given),
        peers=peers,
        device=given.device,
        rounds=given.rounds,
        cold=not given.warm_cache,
        tensors=given.tensors,
        steps=given.steps,
    )
    problem = _cuda_problem() if given.device == "cuda" else None
    if problem:
        print(f"--device cuda: {problem}", file=sys.stderr)
        return 2
    show_machine(load := load_average(), given.threads)
    groups = []
    with threads(given.threads):
        for name in given.suite or ["update"]:
            for group in suite(name).run(asked):
                show(group)
                groups.append(group)
    met = targets.rows(groups)
    if met:
        show_table("Targets", ("", "measured", ""), met, [])
    command = shlex.join(["python", "-m", "benchmarks", *_without_files(arguments)])
    facts = lines.facts(command, given.device, given.threads, given.rounds, load)
    return _write(lines.Run(facts, groups), given.json, given.plot, given.report)


def _without_files(arguments: Sequence[str]) -> list[str]:
    """Return the arguments but for where things go, which is the caller's own affair.

    >>> _without_files(["--rule", "sgd", "--json", "out.json", "--plot=docs"])
    ['--rule', 'sgd']
    """
    outputs = ("--json", "--plot", "--report")
    return [
        text
        for before, text in zip(["", *arguments], arguments)
        if before not in outputs and text.partition("=")[0] not in outputs
    ]


def _some(asked: Sequence[str], known: Sequence[str] | dict[str, object]) -> list[str]:
    return list(known) if ALL in asked else list(dict.fromkeys(asked))


def _models(given: argparse.Namespace) -> dict[str, Shapes]:
    wanted = [size for some in given.size or [] for size in some]
    if not wanted and not given.model:
        wanted, names = [1 << 24], list(DEFAULT_MODELS)
    else:
        names = _some(given.model or [], MODELS)
    return {
        **{size_text(size): ((size,),) for size in wanted},
        **{name: MODELS[name] for name in names},
    }


def _cuda_problem() -> str | None:
    try:
        return None if import_torch().cuda.is_available() else "torch finds no CUDA device"
    except Unavailable as error:
        return str(error)


def _parser(here: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(
            "Measure gpuopt beside its peers. `compare OLD.json NEW.json` says what became "
            "slower; `render RUN.json ...` makes pictures and a report of what was measured."
        ),
    )
    known_peers = dict.fromkeys(name for peers in PEERS.values() for name in peers)

    def several(
        name: str, known: Sequence[str], default: str, read: Callable[[str], str] = str
    ) -> None:
        parser.add_argument(
            f"--{name}", nargs="+", choices=known, metavar=name.upper(), default=[], type=read,
            help=f"{', '.join(known)}; default: {default}",
        )  # fmt: skip

    several("suite", list(SUITES), "update")
    several("rule", [*CASES, ALL], "adam")
    several("dtype", [*DTYPES, ALL], "float32", lambda text: ALIASES.get(text, text))
    several("model", [*MODELS, ALL], f"16m, {', '.join(DEFAULT_MODELS)}, unless there is a size")
    several("peers", list(known_peers), "all of the device")
    add = parser.add_argument
    add("--size", nargs="+", type=sizes, help="elements of one tensor: 16m, or 1k..1G by eights")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--rounds", type=positive, default=9, help="samples of each contender")
    add("--threads", type=positive, default=here, help="for gpuopt and torch alike")
    add("--warm-cache", action="store_true", help="do not empty the caches before each step")
    add("--tensors", nargs="+", type=positive, default=[1, 148, 500, 5000], help="of suite host")
    add("--steps", type=positive, default=100, help="of suite accuracy")
    add("--json", type=Path, metavar="FILE", help="where all of it goes as data")
    _add_outputs(parser)
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="where pictures go")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where a Markdown report goes")


def _write(run: lines.Run, json: Path | None, plot: Path | None, report: Path | None) -> int:
    if json is not None:
        json.write_text(run.dumps(), encoding="utf-8")
    if report is not None:
        report.write_text(markdown(run), encoding="utf-8")
    if plot is not None:
        from .pictures import NEEDS, draw

        files = draw(run, plot)
        for file in files:
            print(f"wrote {file}")
        if not files:
            print(f"no picture: the runs have figures for none; {NEEDS}", file=sys.stderr)
            return 1
    return 0


# --- compare and render -------------------------------------------------------------------------


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="Show what became slower; exit with 1 where gpuopt did, beyond a threshold.",
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=part, default=THRESHOLD, help="0.1: by 10%%")
    parser.add_argument(
        "--by", choices=("time", "copy"), default="time", help="copy: as a part of a copy's speed"
    )
    given = parser.parse_args(arguments)
    try:
        old, new = lines.read(given.old), lines.read(given.new)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    found = sorted(changes(old, new, given.by == "copy"), key=lambda change: -change.worse)
    title = f"{given.new} beside {given.old}"
    show_table(title, HEAD, [change.row(given.threshold) for change in found], [])
    failed = [change for change in found if change.failed(given.threshold)]
    print(f"{len(failed)} of gpuopt's figures are worse by more than {given.threshold:.0%}")
    return 1 if failed else 0


def _render(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks render", description="Pictures and a report of runs, as one."
    )
    parser.add_argument("runs", type=Path, nargs="+")
    _add_outputs(parser)
    given = parser.parse_args(arguments)
    if given.plot is None and given.report is None:
        parser.error("expected --plot FOLDER, --report FILE, or both")
    if not writable((given.report,), given.plot):
        return 2
    try:
        run = lines.merged(map(lines.read, given.runs))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return _write(run, None, given.plot, given.report)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
