"""The benchmarks' command line.

python -m benchmarks --suite update --rule adam --model gpt2 --json new.json
python -m benchmarks compare old.json new.json --threshold 0.1
python -m benchmarks render new.json --plot docs --report report.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpuopt.inspection.spelling import ALIASES, FAMILY, expanded

from . import gpu_state, lines, targets
from .arguments import known_threads, part, positive, size_text, sizes, writable
from .buffers import DTYPES, import_torch
from .cases import CASES, FAMILIES, OTHERS
from .compare import HEAD, THRESHOLD, changes
from .models import LARGE, MODELS, Shapes
from .peers import PEERS
from .report import GPU_HEAD, gpu_rows, load_average, markdown, show, show_machine, show_table
from .step import Unavailable
from .suites import SUITES, Settings, suite
from .timing import threads

ALL = "all"
DEFAULT_MODELS = ("gpt2", "resnet50", "tiny500")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
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
        parser.error(f"--peers: not available on {given.device}: {', '.join(elsewhere)}")
    if not writable((given.json, given.report), given.plot):
        return 2
    suites = given.suite or ["update"]
    rules, others = _rules(given.rule or ["adam"], CASES), _rules(given.rule or [ALL], OTHERS)
    measured = {"update": rules, "accuracy": rules, "references": others}
    if idle := [name for name in suites if not measured.get(name, [name])]:
        parser.error(f"--rule: suite {idle[0]} does not measure {', '.join(given.rule)}")
    settings = Settings(
        rules=rules,
        others=others,
        dtypes=_some(given.dtype or ["float32"], DTYPES),
        models=_models(given),
        peers=peers,
        device=given.device,
        rounds=given.rounds,
        cold=not given.warm_cache,
        processor=given.processor_time,
        tensors=given.tensors,
        steps=given.steps,
    )
    on_gpu = given.device == "cuda"
    if on_gpu and given.warm_cache:
        parser.error("--warm-cache: on a CUDA device the cache is always flushed")
    if on_gpu and given.processor_time:
        parser.error("--processor-time: on a CUDA device the time is the device's")
    problem = _cuda_problem() if on_gpu else None
    if problem:
        print(f"--device cuda: {problem}", file=sys.stderr)
        return 2
    show_machine(load := load_average(), given.threads)
    before = gpu_state.device_state() if on_gpu else None
    groups = []
    with threads(given.threads):
        for name in suites:
            for group in suite(name).run(settings):
                show(group)
                groups.append(group)
    met = targets.rows(groups)
    if met:
        show_table("Targets", ("", "measured", ""), met, [])
    command = shlex.join(["python", "-m", "benchmarks", *_without_files(arguments)])
    facts = lines.facts(command, given.device, given.threads, given.rounds, load)
    if before is not None:
        facts["gpu"] = gpu = gpu_state.facts(before, gpu_state.device_state())
        show_table("GPU", GPU_HEAD, gpu_rows(gpu), gpu["warnings"])
    return _write(lines.Run(facts, groups), given.json, given.plot, given.report)


def _without_files(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without the paths of outputs, which do not affect the measurement.

    >>> _without_files(["--rule", "sgd", "--json", "out.json", "--plot=docs"])
    ['--rule', 'sgd']
    """
    outputs = ("--json", "--plot", "--report")
    return [
        text
        for before, text in zip(["", *arguments], arguments)
        if before not in outputs and text.partition("=")[0] not in outputs
    ]


def _some(wanted: Sequence[str], known: Sequence[str] | dict[str, object]) -> list[str]:
    return list(known) if ALL in wanted else list(dict.fromkeys(wanted))


def _rules(wanted: Sequence[str], known: Mapping[str, object]) -> list[str]:
    """Return those of the known rules that are wanted, by name or by family."""
    return [name for name in _some(expanded(wanted, FAMILIES), list(known)) if name in known]


def _models(given: argparse.Namespace) -> dict[str, Shapes]:
    wanted = [size for some in given.size or [] for size in some]
    if not wanted and not given.model:
        wanted, names = [1 << 24], list(DEFAULT_MODELS)
    else:
        names = _some(given.model or [], [name for name in MODELS if name not in LARGE])
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
            "Measure gpuopt and its peers. `compare OLD.json NEW.json` reports regressions; "
            "`render RUN.json ...` draws plots and writes a report."
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
    families = [f"{FAMILY}{name}" for name in FAMILIES]
    several("rule", [*CASES, *OTHERS, *families, ALL], "adam; of suite references, all of its")
    several("dtype", [*DTYPES, ALL], "float32", lambda text: ALIASES.get(text, text))
    several("model", [*MODELS, ALL], f"16m, {', '.join(DEFAULT_MODELS)}; none with --size")
    several("peers", list(known_peers), "all for the device")
    add = parser.add_argument
    add("--size", nargs="+", type=sizes, help="elements of one tensor: 16m; 1k..1G in steps of 8x")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--rounds", type=positive, default=9, help="samples per contender")
    add("--threads", type=positive, default=here, help="CPU threads for gpuopt and torch")
    add("--warm-cache", action="store_true", help="do not flush the caches before each step")
    processor = (
        "suites tail, storage, references: processor time of all threads, for a busy machine"
    )
    add("--processor-time", action="store_true", help=f"{processor}; take --threads 1")
    counts = [1, 148, 500, 5000]
    add("--tensors", nargs="+", type=positive, default=counts, help="suite host: how many tensors")
    add("--steps", type=positive, default=100, help="suite accuracy: steps before comparing")
    add("--json", type=Path, metavar="FILE", help="write all results as JSON")
    _add_outputs(parser)
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write plots to this folder")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a Markdown report")


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
            print(f"no plot: the runs lack the figures for one; {NEEDS}", file=sys.stderr)
            return 1
    return 0


# --- compare and render -------------------------------------------------------------------------


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="Compare two runs; exit with 1 if gpuopt regressed beyond a threshold.",
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    add = parser.add_argument
    add("--threshold", type=part, default=THRESHOLD, help="allowed slowdown; 0.1 is 10%%")
    by = "compare times, or speeds relative to the copy loop"
    add("--by", choices=("time", "copy"), default="time", help=by)
    given = parser.parse_args(arguments)
    try:
        old, new = lines.read(given.old), lines.read(given.new)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    found = sorted(changes(old, new, given.by == "copy"), key=lambda change: -change.worse)
    title = f"{given.new} compared with {given.old}"
    show_table(title, HEAD, [change.row(given.threshold) for change in found], [])
    failed = [change for change in found if change.failed(given.threshold)]
    print(f"{len(failed)} of gpuopt's figures are worse by more than {given.threshold:.0%}")
    return 1 if failed else 0


def _render(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks render",
        description="Draw plots and write a report of one or more runs.",
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
