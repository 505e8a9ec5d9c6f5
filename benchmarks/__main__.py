"""The benchmarks' command line.

python -m benchmarks --suite update --rule adam --model gpt2 --json new.json
python -m benchmarks compare old.json new.json --threshold 0.1
python -m benchmarks render new.json --plot docs --report report.md
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

from gpuopt.inspection.spelling import ALIASES, FAMILY, expanded

from . import gpu_state, lines, targets
from .arguments import known_threads, part, size_text, sizes, writable
from .buffers import DTYPES, import_torch
from .cases import CASES, FAMILIES, OTHERS
from .command_line import BadParameter, Context, Exit, checked, group, names, option, run, texts
from .compare import HEAD, THRESHOLD, changes
from .models import LARGE, MODELS, Shapes
from .peers import PEERS
from .report import GPU_HEAD, gpu_rows, load_average, markdown, show, show_machine, show_table
from .step import Unavailable
from .suites import SUITES, Settings, suite
from .timing import threads

ALL = "all"
DEFAULT_MODELS = ("gpt2", "resnet50", "tiny500")
TENSORS = (1, 148, 500, 5000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(group(measure, compare=compare, render=render), "benchmarks", arguments)


# --- the options --------------------------------------------------------------------------------

_PEERS = dict.fromkeys(name for peers in PEERS.values() for name in peers)
_BUSY = "suites tail, storage, references: processor time of all threads, for a busy machine"


def _several(name: str, known: Iterable[str], default: str) -> Any:
    return option(metavar=name.upper(), help=f"{', '.join(known)}; default: {default}")


def _rule_names() -> list[str]:
    return [*CASES, *OTHERS, *(f"{FAMILY}{name}" for name in FAMILIES), ALL]


def _number(help: str) -> Any:
    return option(metavar="N", min=1, help=help)


Suites = Annotated[list[names(SUITES)] | None, _several("suite", SUITES, "update")]
Rules = Annotated[
    list[names(_rule_names())] | None,
    _several("rule", _rule_names(), "adam; of suite references, all of its"),
]
Dtypes = Annotated[
    list[names([*DTYPES, *ALIASES, ALL])] | None, _several("dtype", [*DTYPES, ALL], "float32")
]
Models = Annotated[
    list[names([*MODELS, ALL])] | None,
    _several("model", [*MODELS, ALL], f"16m, {', '.join(DEFAULT_MODELS)}; none with --size"),
]
Peers = Annotated[list[names(_PEERS)] | None, _several("peers", _PEERS, "all for the device")]
Sizes = Annotated[
    list[Any] | None,
    option(
        parser=checked(sizes),
        metavar="SIZE",
        help="elements of one tensor: 16m; 1k..1G in steps of 8x",
    ),
]
Device = Annotated[names(("cpu", "cuda")), option(help="default: cpu")]
Rounds = Annotated[int, _number("samples per contender; default: 9")]
Threads = Annotated[
    int | None,
    _number("CPU threads for gpuopt and torch; default: GPUOPT_NUM_THREADS, or one a core"),
]
WarmCache = Annotated[bool, option("--warm-cache", help="do not flush the caches before each step")]
ProcessorTime = Annotated[bool, option("--processor-time", help=f"{_BUSY}; take --threads 1")]
Tensors = Annotated[
    list[int] | None,
    _number(f"suite host: how many tensors; default: {', '.join(map(str, TENSORS))}"),
]
Steps = Annotated[int, _number("suite accuracy: steps before comparing; default: 100")]
Json = Annotated[Path | None, option(metavar="FILE", help="write all results as JSON")]
Plot = Annotated[Path | None, option(metavar="FOLDER", help="write plots to this folder")]
Report = Annotated[Path | None, option(metavar="FILE", help="write a Markdown report")]


# --- measure ------------------------------------------------------------------------------------


def measure(
    context: Context,
    suite: Suites = None,
    rule: Rules = None,
    dtype: Dtypes = None,
    model: Models = None,
    peers: Peers = None,
    size: Sizes = None,
    device: Device = "cpu",
    rounds: Rounds = 9,
    threads: Threads = None,
    warm_cache: WarmCache = False,
    processor_time: ProcessorTime = False,
    tensors: Tensors = None,
    steps: Steps = 100,
    json: Json = None,
    plot: Plot = None,
    report: Report = None,
) -> None:
    """Measure gpuopt and its peers."""
    if context.invoked_subcommand:
        return
    with suppress(Unavailable):
        import_torch()  # before its threads are counted
    here = known_threads()
    if here is None or not writable((json, report), plot):
        raise Exit(2)
    rules = texts(rule)
    settings = Settings(
        rules=_rules(rules or ["adam"], CASES),
        others=_rules(rules or [ALL], OTHERS),
        dtypes=_some([ALIASES.get(name, name) for name in texts(dtype)] or ["float32"], DTYPES),
        models=_models(size or [], texts(model)),
        peers=_peers(texts(peers), device.value),
        device=device.value,
        rounds=rounds,
        cold=not warm_cache,
        processor=processor_time,
        tensors=tensors or TENSORS,
        steps=steps,
    )
    suites = texts(suite) or ["update"]
    _refuse_what_would_be_ignored(suites, rules, settings)
    problem = _cuda_problem() if settings.device == "cuda" else None
    if problem:
        print(f"--device cuda: {problem}", file=sys.stderr)
        raise Exit(2)
    found = _measured(suites, settings, threads or here, context.obj)
    raise Exit(_write(found, json, plot, report))


def _refuse_what_would_be_ignored(
    suites: Sequence[str], wanted: Sequence[str], settings: Settings
) -> None:
    rules = {"update": settings.rules, "accuracy": settings.rules, "references": settings.others}
    if idle := [name for name in suites if not rules.get(name, [name])]:
        _refuse("--rule", f"suite {idle[0]} does not measure {', '.join(wanted)}")
    if settings.device == "cuda" and not settings.cold:
        _refuse("--warm-cache", "on a CUDA device the cache is always flushed")
    if settings.device == "cuda" and settings.processor:
        _refuse("--processor-time", "on a CUDA device the time is the device's")


def _refuse(option: str, why: str) -> NoReturn:
    raise BadParameter(why, param_hint=option)


def _measured(
    suites: Sequence[str], settings: Settings, count: int, arguments: Sequence[str]
) -> lines.Run:
    """Run suites with a number of threads, and print the results."""
    on_gpu = settings.device == "cuda"
    show_machine(load := load_average(), count)
    before = gpu_state.device_state() if on_gpu else None
    groups = []
    with threads(count):
        for name in suites:
            for group in suite(name).run(settings):
                show(group)
                groups.append(group)
    if met := targets.rows(groups):
        show_table("Targets", ("", "measured", ""), met, [])
    command = shlex.join(["python", "-m", "benchmarks", *_without_files(arguments)])
    facts = lines.facts(command, settings.device, count, settings.rounds, load)
    if before is not None:
        facts["gpu"] = gpu = gpu_state.facts(before, gpu_state.device_state())
        show_table("GPU", GPU_HEAD, gpu_rows(gpu), gpu["warnings"])
    return lines.Run(facts, groups)


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


def _peers(wanted: Sequence[str], device: str) -> list[str]:
    """Return the peers that are wanted, or all that a device has."""
    if elsewhere := [name for name in wanted if name not in PEERS[device]]:
        _refuse("--peers", f"not available on {device}: {', '.join(elsewhere)}")
    return [name for name in PEERS[device] if not wanted or name in wanted]


def _models(some_sizes: Sequence[Sequence[int]], models: Sequence[str]) -> dict[str, Shapes]:
    wanted = [size for some in some_sizes for size in some]
    if not wanted and not models:
        wanted, names = [1 << 24], list(DEFAULT_MODELS)
    else:
        names = _some(models, [name for name in MODELS if name not in LARGE])
    return {
        **{size_text(size): ((size,),) for size in wanted},
        **{name: MODELS[name] for name in names},
    }


def _cuda_problem() -> str | None:
    try:
        return None if import_torch().cuda.is_available() else "torch finds no CUDA device"
    except Unavailable as error:
        return str(error)


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

Threshold = Annotated[
    float, option(parser=checked(part), metavar="PART", help="allowed slowdown; default: 0.1, 10%")
]
By = Annotated[
    names(("time", "copy")),
    option(help="compare times, or speeds relative to the copy loop; default: time"),
]


def compare(old: Path, new: Path, threshold: Threshold = THRESHOLD, by: By = "time") -> None:
    """Compare two runs; exit with 1 if gpuopt regressed beyond a threshold."""
    try:
        before, after = lines.read(old), lines.read(new)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise Exit(2) from None
    found = sorted(changes(before, after, by.value == "copy"), key=lambda change: -change.worse)
    show_table(f"{new} compared with {old}", HEAD, [c.row(threshold) for c in found], [])
    failed = [change for change in found if change.failed(threshold)]
    print(f"{len(failed)} of gpuopt's figures are worse by more than {threshold:.0%}")
    raise Exit(1 if failed else 0)


def render(runs: list[Path], plot: Plot = None, report: Report = None) -> None:
    """Draw plots and write a report of one or more runs."""
    if plot is None and report is None:
        raise BadParameter("expected --plot FOLDER, --report FILE, or both")
    if not writable((report,), plot):
        raise Exit(2)
    try:
        found = lines.merged(map(lines.read, runs))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise Exit(2) from None
    raise Exit(_write(found, None, plot, report))


if __name__ == "__main__":
    sys.exit(main())
