"""Measure the precision and recall of the warnings of `gpuopt compare`.

    python -m benchmarks.warnings --seeds 20

It trains the runs of `gpuopt compare`, and runs designed to fail. A warning is correct if, in the
rest of its run:

- overfitting: the test loss never improves on its best so far;
- vanishing gradient: the layer's norm stays below the limit and the loss stays high;
- exploding gradient: the training loss stays high, or becomes NaN;
- NaN: always, since the training stops.

A run needed a warning of overfitting if it ends with a test loss well above its lowest, and a lower
training loss than then; it needed one of the others if it ends no better than guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from json import dumps
from typing import Annotated

from gpuopt.kernels.thread_count import thread_count

from gpuopt.demo import data
from gpuopt.demo.comparison import Result, Settings, Trial, run
from gpuopt.demo.data import Digits, Split
from gpuopt.demo.methods import DEFAULT
from gpuopt.demo.training import LOSS_OF_GUESSING, Epoch
from gpuopt.demo.watch import (
    EXPLODING,
    NAN,
    OVERFITTED,
    OVERFITTING,
    STILL_HIGH,
    VANISHED,
    VANISHING,
    Finding,
)

from . import command_line
from .arguments import writable
from .command_line import Exit, File, option
from .report import load_average, show_machine, show_table

NO_BETTER = 0.95 * LOSS_OF_GUESSING
STOCHASTIC = "stochastic"
"""Left out of the runs designed to fail: with a step per image, it would take minutes."""


@dataclass(frozen=True)
class Scenario:
    """A set of runs, one for each method and seed.

    Attributes:
        name: the title of its table.
        kinds: the rows of the table: a name, and the kinds of warning counted in it.
        settings: the settings of all runs; the seed is replaced.
        lr: the learning rate of all methods; None for each method's own.
        images: the number of training images; None for all.
    """

    name: str
    kinds: Mapping[str, Sequence[str]]
    settings: Settings = field(default_factory=Settings)
    lr: float | None = None
    images: int | None = None

    @property
    def ordinary(self) -> bool:
        """Return whether these are the runs of `gpuopt compare`."""
        return self.name == ORDINARY

    def runs(self, digits: Digits, seed: int) -> Iterator[Result]:
        """Train each method; yield the results."""
        some = digits if self.images is None else first(digits, self.images)
        for method in DEFAULT:
            if self.ordinary or method.name != STOCHASTIC:
                yield run(Trial(method, self.lr), some, replace(self.settings, seed=seed))


ORDINARY = "as compare runs it"
DEEP = (32,) * 10
GRADIENTS = {name: (name,) for name in (VANISHING, EXPLODING)} | {
    "any of the gradient": (VANISHING, EXPLODING, NAN)
}
SCENARIOS = (
    Scenario(ORDINARY, {OVERFITTING: (OVERFITTING,), **GRADIENTS}),
    Scenario(
        "100 images, 60 epochs",
        {OVERFITTING: (OVERFITTING,)},
        Settings(epochs=60),
        images=100,
    ),
    Scenario("learning rate 10", GRADIENTS, lr=10.0),
    Scenario("10 layers, half the weights", GRADIENTS, Settings(hidden=DEEP, gain=0.5)),
    Scenario("10 layers, twice the weights", GRADIENTS, Settings(hidden=DEEP, gain=2.0)),
)


def first(digits: Digits, count: int) -> Digits:
    """Return the data with only the first training images."""
    train = digits.train
    return Digits(Split(train.images[:count], train.labels[:count]), digits.test)


def came_true(finding: Finding, epochs: Sequence[Epoch]) -> bool:
    """Return whether the rest of the run confirms the warning."""
    before, rest = epochs[: finding.epoch + 1], epochs[finding.epoch + 1 :]
    if finding.kind == OVERFITTING:
        best = min(epoch.test_loss for epoch in before)
        return all(epoch.test_loss >= best for epoch in rest)
    if finding.kind == VANISHING:
        norms = [epoch.gradient_norms[layer - 1] for epoch in rest for layer in finding.layers]
        if not all(norm < VANISHED for norm in norms):
            return False
    return not any(epoch.train_loss <= STILL_HIGH for epoch in rest)


def needed(kinds: Sequence[str], epochs: Sequence[Epoch]) -> bool:
    """Return whether a run ended in a state that these warnings describe."""
    final, best = epochs[-1], min(epochs, key=lambda epoch: epoch.test_loss)
    if OVERFITTING in kinds:
        return final.test_loss > OVERFITTED * best.test_loss and final.train_loss < best.train_loss
    return not final.train_loss < NO_BETTER


def row(name: str, kinds: Sequence[str], results: Sequence[Result]) -> tuple[str, ...]:
    """Return a row of a table."""
    found = [(result, each) for result in results for each in single(result.findings, kinds)]
    true = sum(came_true(finding, result.epochs) for result, finding in found)
    warned = {id(result) for result, _ in found}
    in_trouble = [id(result) for result in results if needed(kinds, result.epochs)]
    noticed = sum(run in warned for run in in_trouble)
    counts = (len(results), len(warned), len(found), true)
    troubles = (str(len(in_trouble)), str(noticed), share(noticed, len(in_trouble)))
    return name, *map(str, counts), share(true, len(found)), *troubles


def single(findings: Sequence[Finding], kinds: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings of some kinds, one for each layer that they name."""
    for finding in (finding for finding in findings if finding.kind in kinds):
        for layer in finding.layers or (0,):
            yield replace(finding, layers=(layer,) if layer else ())


def share(part: int, whole: int) -> str:
    """Return a percentage, or a hyphen if ``whole`` is 0.

    >>> share(19, 20), share(0, 0)
    ('95%', '-')
    """
    return f"{part / whole:.0%}" if whole else "-"


HEAD = (
    *("warning", "runs", "with one", "warnings", "came true", "share"),
    *("in trouble", "noticed", "share noticed"),
)


Seeds = Annotated[int, option(min=1, metavar="N", help="number of seeds; default: 20")]
First = Annotated[int, option("--first", min=0, metavar="N", help="first seed; default: 0")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    app = command_line.single(count, __doc__)
    return command_line.run(app, "benchmarks.warnings", arguments)


def count(seeds: Seeds = 20, first_seed: First = 0, json: File = None) -> None:
    """Print a table of each scenario."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

    if not writable([json]):
        raise Exit(2)
    show_machine(load_average(), thread_count())
    digits = data.load()
    some = range(first_seed, first_seed + seeds)
    found: list[dict[str, str]] = []
    with threadpool_limits(1, "blas"):
        for scenario in SCENARIOS:
            results = [result for seed in some for result in scenario.runs(digits, seed)]
            rows = [row(name, kinds, results) for name, kinds in scenario.kinds.items()]
            show_table(f"{scenario.name}, seeds {some[0]} to {some[-1]}", HEAD, rows, [])
            found += [{"runs of": scenario.name, **dict(zip(HEAD, own))} for own in rows]
    if json is not None:
        day = date.today().isoformat()
        run_data = {"date": day, "seeds": [some[0], some[-1]], "rows": found}
        json.write_text(dumps(run_data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
