"""Measure which of the warnings of `gpuopt compare` come true, and which troubles they miss.

    python -m benchmarks.warnings --seeds 20

It trains the runs of `gpuopt compare`, and runs that are made to fail. Whether a warning came true,
the rest of its run decides:

- overfitting: the test loss never again beats its best by then;
- vanishing gradient: to the end, the layer's norm stays below the limit and the loss high;
- exploding gradient: to the end, the training loss stays high, or the run ends at NaN;
- NaN: always, since the training stops.

A run that needed a warning of overfitting is one that ends with a test loss well above its lowest,
and a lower training loss than then; of the others, one that ends no better than guessing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gpuopt.kernels.threads import thread_count

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

from .arguments import positive, whole
from .report import load_average, show_machine, show_table

NO_BETTER = 0.95 * LOSS_OF_GUESSING
STOCHASTIC = "stochastic"
"""Left out of the runs that are made to fail: it takes a step for each image, and minutes."""


@dataclass(frozen=True)
class Scenario:
    """A set of runs, one for each method and seed.

    Attributes:
        name: what the table calls it.
        kinds: the warnings that are counted together, and their name in the table.
        settings: of the runs, but for the seed.
        lr: the learning rate of all methods, or None: each method's own.
        images: how many to train on, or None: all.
    """

    name: str
    kinds: Mapping[str, Sequence[str]]
    settings: Settings = field(default_factory=Settings)
    lr: float | None = None
    images: int | None = None

    @property
    def ordinary(self) -> bool:
        """Whether these are the runs of `gpuopt compare`."""
        return self.name == ORDINARY

    def runs(self, digits: Digits, seed: int) -> Iterator[Result]:
        """Train them."""
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
    """Fewer images to train on, and the same to test on."""
    train = digits.train
    return Digits(Split(train.images[:count], train.labels[:count]), digits.test)


def came_true(finding: Finding, epochs: Sequence[Epoch]) -> bool:
    """Whether the rest of the run is as the warning says."""
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
    """Whether a run ended in trouble that these warnings are about."""
    final, best = epochs[-1], min(epochs, key=lambda epoch: epoch.test_loss)
    if OVERFITTING in kinds:
        return final.test_loss > OVERFITTED * best.test_loss and final.train_loss < best.train_loss
    return not final.train_loss < NO_BETTER


def row(name: str, kinds: Sequence[str], results: Sequence[Result]) -> tuple[str, ...]:
    """Return a line of a table."""
    found = [(result, each) for result in results for each in single(result.findings, kinds)]
    true = sum(came_true(finding, result.epochs) for result, finding in found)
    warned = {id(result) for result, _ in found}
    in_trouble = [id(result) for result in results if needed(kinds, result.epochs)]
    noticed = sum(run in warned for run in in_trouble)
    counts = (len(results), len(warned), len(found), true)
    troubles = (str(len(in_trouble)), str(noticed), share(noticed, len(in_trouble)))
    return name, *map(str, counts), share(true, len(found)), *troubles


def single(findings: Sequence[Finding], kinds: Sequence[str]) -> Iterator[Finding]:
    """Yield those of some kinds, layer by layer: one that names three layers is three warnings."""
    for finding in (finding for finding in findings if finding.kind in kinds):
        for layer in finding.layers or (0,):
            yield replace(finding, layers=(layer,) if layer else ())


def share(part: int, whole: int) -> str:
    """Return a percentage, or a hyphen where there is nothing to have a part of.

    >>> share(19, 20), share(0, 0)
    ('95%', '-')
    """
    return f"{part / whole:.0%}" if whole else "-"


HEAD = (
    *("warning", "runs", "with one", "warnings", "came true", "share"),
    *("in trouble", "with one", "share"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

    parser = argparse.ArgumentParser(prog="python -m benchmarks.warnings")
    parser.add_argument("--seeds", type=positive, default=20, help="how many")
    parser.add_argument("--first", type=whole, default=0, help="the first of them")
    asked = parser.parse_args(arguments)
    show_machine(load_average(), thread_count())
    digits = data.load()
    seeds = range(asked.first, asked.first + asked.seeds)
    with threadpool_limits(1, "blas"):
        for scenario in SCENARIOS:
            results = [result for seed in seeds for result in scenario.runs(digits, seed)]
            rows = [row(name, kinds, results) for name, kinds in scenario.kinds.items()]
            show_table(f"{scenario.name}, seeds {seeds[0]} to {seeds[-1]}", HEAD, rows, [])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
