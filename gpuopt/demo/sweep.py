"""The sensitivity of each method to its learning rate and beta."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

from gpuopt.demo.comparison import TARGET_ACCURACY, Result, Trial
from gpuopt.demo.methods import Method

RATES = tuple(float(f"{digit}e{exponent}") for exponent in range(-4, 1) for digit in (1, 3))
EPOCHS = 10


def trials(
    methods: Iterable[Method], rates: Sequence[float], betas: Sequence[float] = ()
) -> list[Trial]:
    """Return each method with each learning rate, and with each beta if it has one."""
    return [
        Trial(method, rate, beta)
        for method in methods
        for beta, rate in product(betas if method.beta and betas else (None,), rates)
    ]


@dataclass(frozen=True)
class Curve:
    """The results of one method with one beta, by increasing learning rate."""

    method: Method
    beta: float | None
    results: tuple[Result, ...]

    @property
    def label(self) -> str:
        """The method, with its beta if several were tried."""
        return self.method.label + ("" if self.beta is None else f", beta {self.beta:g}")

    @property
    def best(self) -> Result | None:
        """The result with the lowest final training loss; None if all diverged."""
        return min(
            (result for result in self.results if not result.diverged),
            key=lambda result: result.final.train_loss,
            default=None,
        )

    def rates_reaching(self, accuracy: float = TARGET_ACCURACY) -> tuple[float, ...]:
        """Return the learning rates whose final test accuracy is at least this."""
        return tuple(
            result.trial.learning_rate
            for result in self.results
            if result.final.test_accuracy >= accuracy
        )


def curves(results: Iterable[Result]) -> list[Curve]:
    """Group the results, which must be in the trials' order, by method and beta."""
    grouped = groupby(results, key=lambda result: (result.trial.method.name, result.trial.beta))
    return [
        Curve(group[0].trial.method, group[0].trial.beta, tuple(group))
        for group in (list(members) for _, members in grouped)
    ]
