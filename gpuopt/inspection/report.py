"""Reports of facts: tables and JSON data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..messages import tables
from ..messages.tables import Table
from .backends import BACKENDS
from .cases import Case, dtype_label
from .check import Finding, findings
from .compile import Result
from .facts import Facts
from .gpus import GPUS
from .predict import Prediction, bytes_in_flight, predictions, warps

LAUNCHES = 2
"""Launches per step for all tensors of one device and dtype combination."""

LIMITED_BY = "limited by"

_LESS_IMPORTANT = (
    *(
        "KiB/SM",
        "warps",
        "barriers",
        "shared",
        "local",
        "floor",
        "width",
        "inexact",
        "dtypes",
        "variant",
    ),
    *("regs", "instr", "busiest unit", "latency covered"),
)
"""The columns that are dropped first, in this order, on a narrow terminal."""

_EVERYTHING = "--json has all of it."

_FEW = 16
"""Maximum number of kernels whose predictions are shown."""


def facts_table(facts: Sequence[Facts]) -> Table:
    """Return a table with a row per kernel."""
    heads = (
        *("code", "rule", "variant", "dtypes", "arch", "bytes", "floor", "width", "instr", "regs"),
        *("local", "shared", "barriers", "inexact", "warps", "KiB/SM", LIMITED_BY),
    )
    return _table("Per element of the main path", heads, list(map(_facts_row, facts)))


def _facts_row(facts: Facts) -> tuple[str, ...]:
    case, main = facts.case, facts.main
    of_main = ("-",) * 4
    if main is not None:
        widths = "/".join(map(str, sorted(main.widths, reverse=True)))
        of_main = (
            *(f"{main.total_bytes:g}", f"{case.floor:g}", widths),
            f"{main.total_instructions:.1f}",
        )
    kernel = case.variant if case.kernel == "update" else f"{case.variant} {case.kernel}"
    return (
        *(case.backend, case.rule, kernel, dtype_label(case.dtypes), f"sm_{case.arch}", *of_main),
        *map(str, (facts.registers, facts.local, facts.shared, facts.barriers)),
        *(", ".join(facts.inexact) or "none", str(warps(facts))),
        *(f"{bytes_in_flight(facts) / 1024:.0f}" if main else "-", _limiters(facts)),
    )


def _limiters(facts: Facts) -> str:
    """Return the bottleneck, with the GPUs if it differs between them."""
    found = predictions(facts)
    if len({one.limiter for one in found}) <= 1:
        return found[0].limiter if found else facts.problem or "-"
    return ", ".join(f"{one.gpu.name}: {one.limiter}" for one in found)


def prediction_table(facts: Sequence[Facts]) -> Table:
    """Return a table with a row per kernel and GPU."""
    heads = ("GPU", "kernel", LIMITED_BY, "of peak", "busiest unit", "latency covered")
    rows = [
        (
            *(one.gpu.name, _kernel(kernel.case), one.limiter),
            *(f"{one.fraction:.0%}", f"{one.busiest:.0%}", f"{one.latency:.0f} ns"),
        )
        for kernel in facts
        for one in predictions(kernel)
    ]
    return _table("Predicted at boost clock and peak bandwidth", heads, rows)


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(title, heads, rows, wraps=(LIMITED_BY,), drops=_LESS_IMPORTANT)


def _kernel(case: Case) -> str:
    return f"{case.backend} {case.rule} {case.variant} {dtype_label(case.dtypes)}"


def show(results: Sequence[Result]) -> None:
    """Print the tables, and the errors of kernels without facts."""
    facts = [result.facts for result in results if result.facts is not None]
    if facts:
        tables.show(facts_table(facts), _EVERYTHING)
        predicted = prediction_table(facts) if len(facts) <= _FEW else None
        if predicted is not None and predicted.rows:
            print()
            tables.show(predicted, _EVERYTHING)
        print(
            f"Launches per step: {LAUNCHES} for each device, combination of dtypes and alignment, "
            "for any number of tensors."
        )
    for result in results:
        if result.facts is None:
            print(f"{result.case.label}: {result.error}")


# --- the gate ----------------------------------------------------------------------------------


def failures(results: Sequence[Result]) -> list[str]:
    """Return a line for each compile error and each failed check."""
    lines = []
    for result in results:
        if result.facts is None:
            lines.append(f"{result.case.label}: {result.error}")
            continue
        failed = [one for one in findings(result.facts) if not one.exempt]
        lines += [f"{result.case.label}: {one.check}: {one.message}" for one in failed]
    return lines


def show_check(results: Sequence[Result]) -> None:
    """Print failures, exemptions and coverage."""
    failed = failures(results)
    for line in failed:
        print(f"FAILED {line}")
    found = [one for result in results if result.facts for one in findings(result.facts)]
    for line in (*_exempted(found), *_limited(results)):
        print(line)
    print(f"{len(results)} kernels checked, {len(failed)} failures. They are {coverage(results)}.")


def _exempted(found: Sequence[Finding]) -> list[str]:
    counts = Counter((one.check, one.exempt) for one in found if one.exempt)
    return [f"exempt, {check}, {n} times: {reason}" for (check, reason), n in counts.items()]


def _limited(results: Sequence[Result]) -> list[str]:
    """Return for each GPU how many kernels each of its parts limits, and which one the most."""
    by_gpu: dict[str, list[tuple[Case, Prediction]]] = {}
    for facts in (result.facts for result in results if result.facts):
        for one in predictions(facts):
            by_gpu.setdefault(one.gpu.name, []).append((facts.case, one))
    return [_limits_of(name, by_gpu[name]) for name in (g.name for g in GPUS) if name in by_gpu]


def _limits_of(gpu: str, kernels: Sequence[tuple[Case, Prediction]]) -> str:
    """Return what limits kernels on a GPU.

    >>> from .gpus import GPUS
    >>> case = Case("triton", "update", "adam", "plain", ("float32",) * 3, 80)
    >>> a100 = next(gpu for gpu in GPUS if gpu.name == "A100")
    >>> _limits_of("A100", [(case, Prediction(a100, "memory", 1, 0.4, 900))] * 2)
    'A100: limited by memory, 2 kernels'
    >>> _limits_of("A100", [(case, Prediction(a100, "issue", 0.8, 1.25, 900))])
    'A100: limited by issue, 1 kernels; at worst 80% of peak: triton.adam.plain.float32.sm_80'
    """
    counts = Counter(one.limiter for _, one in kernels)
    text = ", ".join(f"{limiter}, {n} kernels" for limiter, n in counts.most_common())
    case, worst = min(kernels, key=lambda kernel: kernel[1].fraction)
    at_worst = f"; at worst {worst.fraction:.0%} of peak: {case.label}"
    return f"{gpu}: limited by {text}{at_worst if worst.fraction < 1 else ''}"


def coverage(results: Sequence[Result]) -> str:
    """Return the rules, dtypes, variants and architectures that were inspected."""
    cases = [result.case for result in results]
    parts = (
        ", ".join(dict.fromkeys(case.rule for case in cases)),
        ", ".join(dict.fromkeys(dtype_label(case.dtypes) for case in cases)),
        ", ".join(dict.fromkeys(case.variant for case in cases)),
        ", ".join(f"sm_{arch}" for arch in sorted({case.arch for case in cases})),
    )
    return "; ".join(parts)


# --- JSON ---------------------------------------------------------------------------------------


def data_of(results: Sequence[Result]) -> dict[str, Any]:
    """Return everything as JSON data."""
    backends = sorted({result.case.backend for result in results})
    return {
        "gpuopt": __version__,
        "compilers": {name: BACKENDS[name].release for name in backends},
        "kernels": [_kernel_data(result) for result in results],
        "gpus": [asdict(gpu) for gpu in GPUS],
    }


def _kernel_data(result: Result) -> dict[str, Any]:
    base: dict[str, Any] = {"name": result.case.label, "case": result.case.to_json()}
    if result.facts is None:
        return {**base, "error": result.error}
    facts = result.facts
    return {
        **base,
        **{name: value for name, value in facts.to_json().items() if name != "case"},
        "floor": result.case.floor,
        "resident_warps": warps(facts),
        "bytes_in_flight": bytes_in_flight(facts),
        "launches_per_step": LAUNCHES,
        "predictions": [{**asdict(one), "gpu": one.gpu.name} for one in predictions(facts)],
        "findings": [
            {"check": one.check, "message": one.message, "exempt": one.exempt}
            for one in findings(facts)
        ],
    }
