"""Tables of whole steps: speed, rules, tails, peers, and the host's part."""

from __future__ import annotations

from gpuopt.rules.definitions import DEFINITIONS

from ..cases import OTHERS
from ..lines import Group, Line
from ..names import model_name
from ..report import seconds_text
from .cells import bytes_of, contender, groups, mebibytes, ratio, table, time

MODELS = ("gpt2", "resnet50", "tiny500")


def speed_table() -> str:
    """Return the times of steps by model."""
    found = [*groups("sizes", model="16m"), *(groups("models", model=m)[0] for m in MODELS)]
    names = dict.fromkeys(line.contender for group in found[1:] for line in group.lines)
    head = ("", *(_model(group) for group in found))
    rows = [
        (contender(name, found[1:]), *(_with_rate(group.line(name)) for group in found))
        for name in names
    ]
    return table(head, rows, "sizes", "models")


def _model(group: Group) -> str:
    return model_name(group.place.model).replace("16M", "1 tensor of 16M")


def _with_rate(line: Line | None) -> str:
    if line is None or line.median is None:
        return "-"
    rate = line.gigabytes_per_second
    return seconds_text(line.median) + (f", {rate:.0f} GB/s" if rate and rate >= 1 else "")


def extra_table() -> str:
    """Return the memory of each contender beside the tensors."""
    (group,) = groups("models", model="gpt2")
    lines = [line for line in group.lines if line.extra_bytes is not None]
    rows = [(contender(line.contender, [group]), mebibytes(line)) for line in lines]
    return table(("", "MiB"), rows, "models")


def rules_table() -> str:
    """Return each optimizer's speed by model."""
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


def tail_table() -> str:
    """Return the times of steps with the whole tail."""
    found = groups("tail")
    head = ("", *(f"{model_name(g.place.model)}, {g.place.dtype}" for g in found))
    ours, theirs = "gpuopt, drop-in", "torch calls"
    rows = [
        ("**gpuopt**", *(time(g.line(ours)) for g in found)),
        ("torch's calls", *(time(g.line(theirs)) for g in found)),
        ("speedup", *(ratio(g.line(ours), theirs) for g in found)),
        ("bytes per element", *(f"{bytes_of(g, ours)}, {bytes_of(g, theirs)}" for g in found)),
    ]
    return table(head, rows, "tail")


def references_table() -> str:
    """Return the speed of optimizers that torch lacks, over their packages."""
    head = ("", "bytes", "time per step", "of copy speed", "speedup over", "over its `foreach`")
    rows = []
    for group in groups("references"):
        line = group.line("gpuopt, drop-in")
        assert line is not None
        name = OTHERS[group.place.rule].name
        part = f"{line.of_copy:.0%}" if line.of_copy else ""
        theirs = (_theirs(line, foreach) for foreach in (False, True))
        rows.append((name, bytes_of(group, line.contender), time(line), part, *theirs))
    return table(head, rows, "references")


def _theirs(line: Line, foreach: bool) -> str:
    """Return how many times as fast as each package a step is, with its foreach or without."""
    ratios = {
        peer.removesuffix(", foreach"): f"{ratio:.2f}"
        for peer, ratio in line.times_as_fast_as.items()
        if peer.endswith(", foreach") == foreach
    }
    return ", ".join(f"{peer} {ratio}" for peer, ratio in ratios.items())


def host_table() -> str:
    """Return the host's part of a step."""
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
        times = {n: time(group.line(contender)) for n, contender in columns.items()}
        new, objects = group.line("drop-in, new"), group.line("(new objects)")
        if new and objects and new.median and objects.median:
            times["... without what makes them"] = seconds_text(new.median - objects.median)
        rows.append((f"{group.lines[0].tensors:,}", *times.values()))
    return table(("tensors", *columns), rows, "host")


def groups_table() -> str:
    """Return the times of steps with many groups."""
    found = groups("groups")
    names = dict.fromkeys(line.contender for group in found for line in group.lines)
    head = ("", *(group.place.model for group in found))
    rows = [(contender(name, found), *(time(g.line(name)) for g in found)) for name in names]
    return table(head, rows, "groups")
