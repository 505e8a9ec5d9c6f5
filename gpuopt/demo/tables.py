"""Tables of the results for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf, isfinite, isnan, nan
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gpuopt.demo.comparison import TARGET_ACCURACY, Result
from gpuopt.demo.sweep import Curve
from gpuopt.demo.training import Epoch

Columns = Mapping[str, Iterable[str | Text]]
CURVES_PER_TABLE = 6
RATES = "learning rates that"
"""The start of the header of the only column that wraps."""

LESS_IMPORTANT = ("ms per\nstep", "backend", "epochs", "lr", "test\nloss")
"""The columns that are dropped first, in this order, on a narrow terminal."""

BEST = "bold green"
BAD = "red"


def loss_text(loss: float) -> str:
    """Return a loss with three digits: 0.0123, 1.23e-05, nan."""
    return f"{loss:.3g}"


def percent(share: float) -> str:
    """Return a fraction as a percentage: 97.5%."""
    return f"{100 * share:.1f}%"


def epochs_text(epochs: float) -> str:
    """Return a number of epochs; "never" for infinity."""
    return f"{epochs:g}" if isfinite(epochs) else "never"


def cells(values: Sequence[float], text: Callable[[float], str], sign: int) -> list[Text]:
    """Return a column with its best value marked: the lowest for sign 1, the highest for -1."""
    best = min((sign * value for value in values if isfinite(value)), default=None)
    return [Text(text(value), BEST if sign * value == best else "") for value in values]


def comparison_columns(results: Sequence[Result]) -> Columns:
    """Return the columns by their headers."""
    final = [result.final for result in results]
    to_target = [result.epochs_to(TARGET_ACCURACY) for result in results]
    return {
        "method": [result.trial.method.label for result in results],
        "lr": [f"{result.trial.learning_rate:g}" for result in results],
        "backend": [result.backend for result in results],
        "epochs": [str(epoch.number) for epoch in final],
        "train\nloss": cells([epoch.train_loss for epoch in final], loss_text, 1),
        "test\nloss": cells([epoch.test_loss for epoch in final], loss_text, 1),
        "test\nacc.": cells([epoch.test_accuracy for epoch in final], percent, -1),
        f"epochs\nto {TARGET_ACCURACY:.0%}": cells(
            [inf if epochs is None else epochs for epochs in to_target], epochs_text, 1
        ),
        "ms per\nstep": [f"{1e3 * result.clock.median:.3f}" for result in results],
        "diverged": [Text("yes", BAD) if result.diverged else Text("no") for result in results],
    }


def comparison_tables(results: Sequence[Result], origin: str) -> Iterator[Table | Text]:
    """Yield the table of the methods, and the origin of the numbers."""
    yield table_of(comparison_columns(results), left=("method", "backend"))
    if any(result.last_step for result in results):
        yield Text("\nThe last step of each: norms, and largest elements\n", "bold")
        yield table_of(last_step_columns(results), left=("method",))
    yield Text(f"\n{origin}")


def last_step_columns(results: Sequence[Result]) -> Columns:
    """Return the columns with the statistics of each method's last step."""
    steps = [(result.trial.method.label, result.last_step) for result in results]
    known = [(label, step) for label, step in steps if step is not None]
    columns: dict[str, list[str | Text]] = {"method": [label for label, _ in known]}
    for name, head in (("grad", "gradient"), ("update", "update"), ("param", "weights")):
        for part, below in (("norm", "norm"), ("max", "largest")):
            values = [getattr(step, f"{name}_{part}") for _, step in known]
            columns[f"{head}\n{below}"] = [loss_text(value) for value in values]
    columns["not\nfinite"] = [str(step.grad_nonfinite) for _, step in known]
    return columns


def table_of(columns: Columns, left: Sequence[str]) -> Table:
    """Return a table; columns not in ``left`` are right-aligned."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for head in columns:
        side: Literal["left", "right"] = "left" if head in left else "right"
        whole = not head.startswith(RATES)
        table.add_column(head, justify=side, vertical="bottom", no_wrap=whole)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def sweep_tables(curves: Sequence[Curve], origin: str) -> Iterator[Table | Text]:
    """Yield tables of final training loss by learning rate, then of the best of each curve."""
    yield Text("Final training loss by learning rate\n", "bold")
    for start in range(0, len(curves), CURVES_PER_TABLE):
        yield table_of(loss_columns(curves[start : start + CURVES_PER_TABLE]), left=())
        yield Text()
    yield Text("The best of each\n", "bold")
    yield table_of(summary_columns(curves), left=("method",))
    yield Text(f"\n{origin}")


def loss_columns(curves: Sequence[Curve]) -> Columns:
    """Return a column for each curve, with a row for each learning rate."""
    rates = [result.trial.learning_rate for result in curves[0].results]
    return {
        "lr": [f"{rate:g}" for rate in rates],
        **{curve.label.replace(", ", "\n"): loss_cells(curve, len(rates)) for curve in curves},
    }


def loss_cells(curve: Curve, rows: int) -> list[Text]:
    """Return the final training losses, the best one marked; empty cells after Ctrl-C."""
    cells = [loss_cell(result, result is curve.best) for result in curve.results]
    return cells + [Text()] * (rows - len(cells))


def loss_cell(result: Result, best: bool) -> Text:
    """Return a final training loss, or "diverged"."""
    if result.diverged:
        return Text("diverged", BAD)
    return Text(loss_text(result.final.train_loss), BEST if best else "")


def summary_columns(curves: Sequence[Curve]) -> Columns:
    """Return a row for each curve: its best learning rate, and all that reach the target."""
    best = [curve.best for curve in curves]
    return {
        "method": [curve.label for curve in curves],
        "best\nlr": [f"{result.trial.learning_rate:g}" if result else "none" for result in best],
        "train\nloss": best_cells(best, lambda epoch: epoch.train_loss, loss_text, 1),
        "test\nloss": best_cells(best, lambda epoch: epoch.test_loss, loss_text, 1),
        "test\nacc.": best_cells(best, lambda epoch: epoch.test_accuracy, percent, -1),
        f"{RATES}\nreach {TARGET_ACCURACY:.0%} accuracy": [
            rates_text(curve.rates_reaching()) for curve in curves
        ],
    }


def best_cells(
    best: Sequence[Result | None],
    value: Callable[[Epoch], float],
    text: Callable[[float], str],
    sign: int,
) -> list[Text]:
    """Return a column with a final value of the best results; a hyphen if all diverged."""
    values = [value(result.final) if result else nan for result in best]
    return cells(values, lambda value: "-" if isnan(value) else text(value), sign)


def rates_text(rates: Sequence[float]) -> str:
    """Return the learning rates, comma-separated."""
    return ", ".join(f"{rate:g}" for rate in rates) or "none"
