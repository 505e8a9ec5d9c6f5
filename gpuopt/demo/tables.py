"""The results as tables for the terminal."""

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
"""The head of the only column that wraps: a list."""

LESS_WANTED = ("ms per\nstep", "backend", "epochs", "lr", "test\nloss")
"""The columns that go first, in this order, where there is no room for all."""

BEST = "bold green"
BAD = "red"


def loss_text(loss: float) -> str:
    """Three digits: 0.0123, 1.23e-05, nan."""
    return f"{loss:.3g}"


def percent(share: float) -> str:
    """A share as a percentage: 97.5%."""
    return f"{100 * share:.1f}%"


def epochs_text(epochs: float) -> str:
    """A number of epochs; infinitely many are never."""
    return f"{epochs:g}" if isfinite(epochs) else "never"


def cells(values: Sequence[float], text: Callable[[float], str], sign: int) -> list[Text]:
    """One column, its best value marked: the lowest for sign 1, the highest for sign -1."""
    best = min((sign * value for value in values if isfinite(value)), default=None)
    return [Text(text(value), BEST if sign * value == best else "") for value in values]


def comparison_columns(results: Sequence[Result]) -> Columns:
    """The columns of the table by their heads."""
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
    """One row for each method, and under them what the numbers come from."""
    yield table_of(comparison_columns(results), left=("method", "backend"))
    if any(result.last_step for result in results):
        yield Text("\nThe last step of each: norms, and largest elements\n", "bold")
        yield table_of(last_step_columns(results), left=("method",))
    yield Text(f"\n{origin}")


def last_step_columns(results: Sequence[Result]) -> Columns:
    """What the last step of each method was like, from the statistics of that step."""
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
    """A table from its columns; those not named in left are numbers, aligned to the right."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for head in columns:
        side: Literal["left", "right"] = "left" if head in left else "right"
        whole = not head.startswith(RATES)
        table.add_column(head, justify=side, vertical="bottom", no_wrap=whole)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def sweep_tables(curves: Sequence[Curve], origin: str) -> Iterator[Table | Text]:
    """Final training loss by learning rate, a few curves to a table; then the best of each."""
    yield Text("Final training loss by learning rate\n", "bold")
    for start in range(0, len(curves), CURVES_PER_TABLE):
        yield table_of(loss_columns(curves[start : start + CURVES_PER_TABLE]), left=())
        yield Text()
    yield Text("The best of each\n", "bold")
    yield table_of(summary_columns(curves), left=("method",))
    yield Text(f"\n{origin}")


def loss_columns(curves: Sequence[Curve]) -> Columns:
    """One column for each curve, one row for each learning rate."""
    rates = [result.trial.learning_rate for result in curves[0].results]
    return {
        "lr": [f"{rate:g}" for rate in rates],
        **{curve.label.replace(", ", "\n"): loss_cells(curve, len(rates)) for curve in curves},
    }


def loss_cells(curve: Curve, rows: int) -> list[Text]:
    """The final training losses, the best one marked; empty where Ctrl-C came first."""
    cells = [loss_cell(result, result is curve.best) for result in curve.results]
    return cells + [Text()] * (rows - len(cells))


def loss_cell(result: Result, best: bool) -> Text:
    """A final training loss, or that there is none to speak of."""
    if result.diverged:
        return Text("diverged", BAD)
    return Text(loss_text(result.final.train_loss), BEST if best else "")


def summary_columns(curves: Sequence[Curve]) -> Columns:
    """One row for each curve: its best learning rate, and all that will do."""
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
    """One column of how the best results ended; a hyphen where all diverged."""
    values = [value(result.final) if result else nan for result in best]
    return cells(values, lambda value: "-" if isnan(value) else text(value), sign)


def rates_text(rates: Sequence[float]) -> str:
    """All of them, with commas."""
    return ", ".join(f"{rate:g}" for rate in rates) or "none"
