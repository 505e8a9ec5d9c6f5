"""The tables of the pages in docs/, written from the data in docs/benchmarks.

``python -m benchmarks.tables`` writes each table between the lines ``<!-- table: NAME -->`` and
``<!-- end of table -->`` of a page; ``--check`` says which pages are not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from gpuopt.kernels.storage import STORAGE

from gpuopt.rules.definitions import DEFINITIONS

from .cases import OTHERS
from .contest import kept_bytes_of
from .lines import Group, Line, Run, read
from .names import contender_name, model_name
from .quality import results, which_table
from .quality.verdicts import BASE, verdict
from .report import Row, described, seconds_text
from .suites.storage import STORAGES

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "benchmarks"

MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    from . import command_line  # needs typer, unlike the pages

    return command_line.run(command_line.single(write, __doc__), "benchmarks.tables", arguments)


def write(check: bool = False) -> None:
    """Write the tables; or check them, and exit with 1 if a page is not up to date."""
    old = [page for page in pages() if filled(page) != page.read_text(encoding="utf-8")]
    for page in old:
        print(f"{page}: {'not up to date' if check else 'written'}")
        if not check:
            page.write_text(filled(page), encoding="utf-8")
    if check and old:
        raise SystemExit(1)


def pages() -> list[Path]:
    """Return the pages that have tables."""
    found = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
    return [page for page in found if MARKED.search(page.read_text("utf-8"))]


def filled(page: Path) -> str:
    """Return the text of a page with updated tables."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}{TABLES[found[2]]()}\n{found[3]}"

    return MARKED.sub(table, page.read_text(encoding="utf-8"))


@cache
def run_of(name: str) -> Run:
    """Return the run of a file."""
    return read(DATA / f"{name}.json")


def groups(name: str, **place: str) -> list[Group]:
    """Return the groups of a file at a place."""
    return [
        group
        for group in run_of(name).groups
        if all(getattr(group.place, key) == value for key, value in place.items())
    ]


def table(head: Row, rows: Iterable[Row], *sources: str) -> str:
    """Return a table in Markdown, followed by the source of its data."""
    lines = [head, ("---",) * len(head), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join((text, *map(source, sources)))


def source(name: str) -> str:
    """Return the source of a file's data."""
    return f"*{described(run_of(name))}*"


# --- whole steps ---------------------------------------------------------------------------------

MODELS = ("gpt2", "resnet50", "tiny500")


def _speed() -> str:
    found = [*groups("sizes", model="16m"), *(groups("models", model=m)[0] for m in MODELS)]
    names = dict.fromkeys(line.contender for group in found[1:] for line in group.lines)
    head = ("", *(_model(group) for group in found))
    rows = [
        (_contender(name, found[1:]), *(_with_rate(group.line(name)) for group in found))
        for name in names
    ]
    return table(head, rows, "sizes", "models")


def _model(group: Group) -> str:
    return model_name(group.place.model).replace("16M", "1 tensor of 16M")


def _contender(name: str, found: Sequence[Group]) -> str:
    line = next(line for group in found if (line := group.line(name)))
    full = name if name.startswith("gpuopt") else contender_name(name, line.ours)
    return f"**{full}**" if line.ours else full


def _with_rate(line: Line | None) -> str:
    if line is None or line.median is None:
        return "-"
    rate = line.gigabytes_per_second
    return seconds_text(line.median) + (f", {rate:.0f} GB/s" if rate and rate >= 1 else "")


def _extra() -> str:
    (group,) = groups("models", model="gpt2")
    lines = [line for line in group.lines if line.extra_bytes is not None]
    rows = [(_contender(line.contender, [group]), _mebibytes(line)) for line in lines]
    return table(("", "MiB"), rows, "models")


def _rules() -> str:
    rules = list(dict.fromkeys(group.place.rule for group in groups("rules")))
    head = ("", *(model_name(model) for model in MODELS))
    rows = [(_rule_name(rule), *(_rule(rule, model) for model in MODELS)) for rule in rules]
    return table(head, rows, "rules")


def _rule_name(rule: str) -> str:
    named = {definition.name.lower(): definition.name for definition in DEFINITIONS.values()}
    return {"amsgrad": "AMSGrad", "rmsprop": "RMSprop"}.get(rule) or named[rule]


def _rule(rule: str, model: str) -> str:
    """Return a drop-in's speed relative to the copy loop and to the best of torch's forms."""
    (group,) = groups("rules", rule=rule, model=model)
    line = group.line("llvm, drop-in")
    assert line is not None and line.of_copy is not None
    fastest = min(x for name, x in line.times_as_fast_as.items() if name.startswith("torch"))
    part = "" if model == "tiny500" else f"{line.of_copy:.0%}, "
    return f"{part}{fastest:.{2 if fastest < 10 else 1}f}x"


def _tail() -> str:
    found = groups("tail")
    head = ("", *(f"{model_name(g.place.model)}, {g.place.dtype}" for g in found))
    ours, theirs = "gpuopt, drop-in", "torch calls"
    rows = [
        ("**gpuopt**", *(_time(g.line(ours)) for g in found)),
        ("torch's calls", *(_time(g.line(theirs)) for g in found)),
        ("speedup", *(_ratio(g.line(ours), theirs) for g in found)),
        ("bytes per element", *(f"{_bytes(g, ours)}, {_bytes(g, theirs)}" for g in found)),
    ]
    return table(head, rows, "tail")


def _time(line: Line | None) -> str:
    return "" if line is None or line.median is None else seconds_text(line.median)


def _ratio(line: Line | None, peer: str) -> str:
    ratio = None if line is None else line.times_as_fast_as.get(peer)
    return "" if ratio is None else f"{ratio:.2f}"


def _bytes(group: Group, contender: str) -> str:
    line = group.line(contender)
    return "" if line is None or not line.bytes else f"{line.bytes / line.elements:g}"


def _references() -> str:
    head = ("", "bytes", "time per step", "of copy speed", "speedup over", "over its `foreach`")
    rows = []
    for group in groups("references"):
        line = group.line("gpuopt, drop-in")
        assert line is not None
        name = OTHERS[group.place.rule].name
        part = f"{line.of_copy:.0%}" if line.of_copy else ""
        theirs = (_theirs(line, foreach) for foreach in (False, True))
        rows.append((name, _bytes(group, line.contender), _time(line), part, *theirs))
    return table(head, rows, "references")


def _theirs(line: Line, foreach: bool) -> str:
    """Return how many times as fast as each package a step is, with its foreach or without."""
    ratios = {
        peer.removesuffix(", foreach"): f"{ratio:.2f}"
        for peer, ratio in line.times_as_fast_as.items()
        if peer.endswith(", foreach") == foreach
    }
    return ", ".join(f"{peer} {ratio}" for peer, ratio in ratios.items())


def _host() -> str:
    found = [g for g in groups("host") if g.place.model.endswith("nothing launched")]
    columns = {
        "arrays": "triton, again",
        "drop-in": "drop-in, again",
        "drop-in, new gradients": "drop-in, new",
        "... without what makes them": "",
        "torch `fused=True`": "torch fused",
    }
    rows = []
    for group in found:
        times = {n: _time(group.line(contender)) for n, contender in columns.items()}
        new, objects = group.line("drop-in, new"), group.line("(new objects)")
        if new and objects and new.median and objects.median:
            times["... without what makes them"] = seconds_text(new.median - objects.median)
        rows.append((f"{group.lines[0].tensors:,}", *times.values()))
    return table(("tensors", *columns), rows, "host")


def _groups() -> str:
    found = groups("groups")
    names = dict.fromkeys(line.contender for group in found for line in group.lines)
    head = ("", *(group.place.model for group in found))
    rows = [(_contender(name, found), *(_time(g.line(name)) for g in found)) for name in names]
    return table(head, rows, "groups")


# --- storages ------------------------------------------------------------------------------------

LABELS = {
    "float32": ("float32", "float32"),
    "bfloat16": ("float32", "bfloat16 states"),
    "8bit": ("float32", "8bit"),
    "float32 masters": ("bfloat16", "float32 masters"),
}
"""For each contender, the dtype of parameters, and the storage of weights and states."""


def _label(contender: str) -> tuple[str, str]:
    return LABELS.get(contender, ("bfloat16", contender))


def _ours(name: str, tail: bool = False) -> Iterator[tuple[Group, Line]]:
    for group in groups(name):
        if group.place.model.endswith("whole tail") is tail:
            yield from ((group, line) for line in group.lines if line.ours)


def _storage(name: str) -> str:
    peers = [p for p in ("torch fused", "DeepSpeed") if any(g.line(p) for g in groups(name))]
    head = (
        "parameters",
        "states, weights",
        "bytes",
        "time per step",
        *(f"x {peer}" for peer in peers),
    )
    rows = [
        (
            *_label(line.contender),
            _bytes(group, line.contender),
            _time(line),
            *(_ratio(line, peer) for peer in peers),
        )
        for group, line in _ours(name)
    ]
    blank = [""] * len(peers)
    theirs = [
        (group.place.dtype, f"*{peer}*", _bytes(group, peer), _time(group.line(peer)), *blank)
        for group in groups(name)
        if not group.place.model.endswith("whole tail")
        for peer in peers
    ]
    return table(head, [*rows, *theirs], name)


README_ROWS = (
    ("float32", "torch fused", "**torch**, float32"),
    ("float32", "float32", "**gpuopt**, float32"),
    ("float32", "8bit", "... with 8-bit states"),
    ("bfloat16", "torch fused", "**torch**, bfloat16, float32 masters by hand"),
    ("bfloat16", "float32 masters", "**gpuopt**, bfloat16, float32 masters"),
    ("bfloat16", "split16", "... 32-bit weights in 16 + 16 bits"),
    ("bfloat16", "split8, 8bit", "... 24-bit weights, 8-bit states"),
)
"""The rows of README's table: the parameters' dtype, the contender, and the label."""


def _readme() -> str:
    head = ("AdamW on GPT-2, 124M parameters", "bytes kept", "bytes moved", "speed on the CPU")
    rows = []
    for dtype, contender, label in README_ROWS:
        (group,) = [g for g in groups("storage", dtype=dtype) if "tail" not in g.place.model]
        line = group.line(contender)
        speed = "1" if contender == "torch fused" else _ratio(line, "torch fused")
        rows.append((label, _kept(dtype, contender), _bytes(group, contender), speed))
    return table(head, rows, "storage")


def _kept(dtype: str, contender: str) -> str:
    """Return the bytes of a parameter and its states, without its gradient."""
    own = "float32 masters" if (dtype, contender) == ("bfloat16", "torch fused") else contender
    states = kept_bytes_of("adamw", dtype, STORAGES[dtype].get(own, {}))
    return f"{STORAGE[dtype].itemsize + states:g}"


def _whole_tail() -> str:
    (group,) = [g for g in groups("storage-one-core") if g.place.model.endswith("whole tail")]
    peers = ("torch calls", "torch calls, grad_scale")
    head = ("", "bytes", "time per step", *(f"x {peer}" for peer in peers))
    rows = []
    for line in group.lines:
        stats = ", no stats" if "no stats" in line.contender else ""
        ratios = (_ratio(line, peer + stats) if line.ours else "" for peer in peers)
        rows.append((line.contender, _bytes(group, line.contender), _time(line), *ratios))
    return table(head, rows, "storage-one-core")


def _cache() -> str:
    columns = {"AVX-512": "cache", "AVX2": "cache-avx2"}
    contenders = [(group.place.dtype, line) for group in groups("cache") for line in group.lines]
    rows = []
    for dtype, line in contenders:
        label = _label(line.contender) if line.ours else (dtype, f"*{line.contender}*")
        rows.append((*label, *(_nanoseconds(f, dtype, line.contender) for f in columns.values())))
    return table(("parameters", "states, weights", *columns), rows, *columns.values())


def _nanoseconds(file: str, dtype: str, contender: str) -> str:
    (group,) = groups(file, dtype=dtype)
    line = group.line(contender)
    if file == "cache-avx2" and contender == "torch fused":
        return ""  # torch ignores the variable that limits our code to AVX2
    return f"{line.seconds_an_element * 1e9:.2f}" if line and line.seconds_an_element else ""


# --- memory --------------------------------------------------------------------------------------


def _memory() -> str:
    storages = ("float32", "float16", "8bit")
    names = {"gpt2": "GPT-2", "llama-1b": "Llama 1B", "llama-1b, sampled": "18 of its tensors"}
    rows = []
    for model, name in names.items():
        (group,) = groups("memory", model=model)
        operations = dict.fromkeys(line.contender.partition(": ")[2] for line in group.lines)
        for operation in operations:
            sizes = (_mebibytes(group.line(f"{s}: {operation}")) for s in storages)
            rows.append((f"{name}: {operation}", *sizes))
    return table(("MiB", *storages), rows, "memory")


def _in_backward() -> str:
    group = groups("memory")[0]
    rows = [(line.contender, _mebibytes(line)) for line in group.lines]
    return table((f"gradients of {group.place.model}", "MiB"), rows, "memory")


def _mebibytes(line: Line | None) -> str:
    return "" if line is None or line.extra_bytes is None else f"{line.extra_bytes / 2**20:,.1f}"


# --- quality -------------------------------------------------------------------------------------


@cache
def quality(name: str) -> Any:
    """Return the data of a file of docs/benchmarks/quality."""
    return json.loads((DATA / "quality" / f"{name}.json").read_text(encoding="utf-8"))


def _losses() -> str:
    storages = list(dict.fromkeys(s for own in quality("losses") for s in own["losses"]))
    others = [name for name in storages if name != BASE]
    head = ("task", "steps", "seeds", "optimizer", "float32: median (band)", *others)
    return table(head, [_loss_row(own, others) for own in quality("losses")])


def _loss_row(own: Mapping[str, Any], storages: Sequence[str]) -> Row:
    base = own["losses"][BASE]
    band = f"{median(base):.4g} ({min(base):.4g} - {max(base):.4g})"
    what = (own["task"], f"{own['steps']:,}", str(len(base)), own["optimizer"])
    return (*what, band, *(_relative(own["losses"].get(name), base) for name in storages))


def _relative(losses: Sequence[float] | None, base: Sequence[float]) -> str:
    """Return a median divided by float32's, in bold if it is above all of float32's losses."""
    if losses is None:
        return ""
    text = f"{median(losses) / median(base):.3f}"
    return f"**{text}**" if verdict(losses, base) == "ABOVE" else text


def _hard() -> str:
    names = list(dict.fromkeys(name for own in quality("hard").values() for name in own))
    rows = [
        (case, *(_step_and_error(own.get(name), name) for name in names))
        for case, own in quality("hard").items()
    ]
    return table(("gradients", *names), rows)


def _step_and_error(own: Mapping[str, float] | None, name: str) -> str:
    if own is None:
        return ""
    return f"{own['step']:.3g}" + ("" if name == "float64" else f"; {own['most']:.2g}")


def _drift() -> str:
    betas = list(dict.fromkeys(beta for own in quality("drift").values() for beta in own))
    rows = [
        (name, *(", ".join(f"{x:.3f}" for x in own.get(beta, ())) or "not run" for beta in betas))
        for name, own in quality("drift").items()
    ]
    return table(("", *(f"beta2 {beta}" for beta in betas)), rows)


def _means() -> str:
    """Return each rule's largest difference of a state's mean."""
    found = quality("state_dtype")
    dtypes = list(next(iter(found.values())))
    rows = [
        (f"`{rule}`", *(f"{max(own[dtype].values()):.1%}" for dtype in dtypes))
        for rule, own in found.items()
    ]
    return table(("rule", *dtypes), rows)


def _which() -> str:
    found = results.read(DATA / "quality" / "which.json")
    return table(which_table.HEAD, which_table.rows(found)) + f"\n\n*{found.origin}*"


# --- more than one device ------------------------------------------------------------------------

SHARDED = (
    ("124M", 1),
    ("124M", 1024),
    ("7B", 8),
    ("7B", 64),
    ("7B", 1024),
    ("70B", 64),
    ("70B", 1024),
)
"""Model sizes and numbers of ranks."""


def _sharded() -> str:
    """Return the computed memory and traffic of a rank."""
    from .scaling.computed import rank_row

    names = ("elements", "tables", "memory", "traffic", "floor")
    rows = [rank_row(model, ranks) for model, ranks in SHARDED]
    return table(
        ("", "ranks", *names[:-1], "at an H100's bandwidth"),
        [(row[""], row["ranks"], *(row[name] for name in names)) for row in rows],
    )


def _processes() -> str:
    data = json.loads((DATA / "scaling.json").read_text(encoding="utf-8"))
    head = ("", "processes", "", "elements per rank", "time per step", "bytes per element")
    rows = [
        (
            model_name(one["model"]),
            str(one["processes"]),
            one["optimizer"],
            f"{one['elements']:,}",
            seconds_text(one["milliseconds"] / 1e3) if one["milliseconds"] else "",
            f"{one['bytes']:.2f}" if one["bytes"] and one["elements"] > 1e6 else "",
        )
        for one in data["rows"]
    ]
    return table(head, rows) + f"\n\n*{data['date'][:10]}; `{data['command']}`*"


# --- the demo ------------------------------------------------------------------------------------


def _compare() -> str:
    data = json.loads((DATA / "compare.json").read_text(encoding="utf-8"))
    head = ("", "lr", "epochs", "train loss", "test loss", "test accuracy", "epochs to 95%")
    rows = [
        (
            one["label"],
            f"{one['lr']:g}",
            str(one["final"]["number"]),
            f"{one['final']['train_loss']:.3g}",
            f"{one['final']['test_loss']:.3g}",
            f"{one['final']['test_accuracy']:.1%}",
            str(one["epochs_to_target"] or "never"),
        )
        for one in data["results"]
    ]
    return table(head, rows) + f"\n\n*`gpuopt compare --seed {data['settings']['seed']}`*"


def _warnings() -> str:
    data = json.loads((DATA / "warnings.json").read_text(encoding="utf-8"))
    head = ("runs", "", "warning", "was right", "in trouble", "noticed")
    rows = [
        (
            one["runs of"],
            one["runs"],
            one["warning"],
            f"{one['came true']} of {one['warnings']}" if one["warnings"] != "0" else "none raised",
            one["in trouble"],
            one["noticed"],
        )
        for one in data["rows"]
    ]
    first, last = data["seeds"]
    command = f"python -m benchmarks.warnings --first {first} --seeds {last - first + 1}"
    return table(head, rows) + f"\n\n*{data['date']}; `{command}`*"


TABLES: dict[str, Callable[[], str]] = {
    "readme": _readme,
    "speed": _speed,
    "extra": _extra,
    "rules": _rules,
    "tail": _tail,
    "references": _references,
    "host": _host,
    "groups": _groups,
    "storage": lambda: _storage("storage"),
    "storage-one-core": lambda: _storage("storage-one-core"),
    "whole-tail": _whole_tail,
    "cache": _cache,
    "memory": _memory,
    "in-backward": _in_backward,
    "losses": _losses,
    "hard": _hard,
    "drift": _drift,
    "means": _means,
    "which": _which,
    "sharded": _sharded,
    "processes": _processes,
    "compare": _compare,
    "warnings": _warnings,
}
"""The tables, by name."""


if __name__ == "__main__":
    sys.exit(main())
