"""How sensitive each method is to its learning rate, and to the decay of its memory."""

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
    """Every method with every learning rate, and with every beta where it has one."""
    return [
        Trial(method, rate, beta)
        for method in methods
        for beta, rate in product(betas if method.beta and betas else (None,), rates)
    ]


@dataclass(frozen=True)
class Curve:
    """The results of one method with one beta, by rising learning rate."""

    method: Method
    beta: float | None
    results: tuple[Result, ...]

    @property
    def label(self) -> str:
        """The method, and its beta where several were tried."""
        return self.method.label + ("" if self.beta is None else f", beta {self.beta:g}")

    @property
    def best(self) -> Result | None:
        """The result with the lowest final training loss; None if all of them diverged."""
        return min(
            (result for result in self.results if not result.diverged),
            key=lambda result: result.final.train_loss,
            default=None,
        )

    def rates_reaching(self, accuracy: float = TARGET_ACCURACY) -> tuple[float, ...]:
        """The learning rates that end at this test accuracy or above."""
        return tuple(
            result.trial.learning_rate
            for result in self.results
            if result.final.test_accuracy >= accuracy
        )


def curves(results: Iterable[Result]) -> list[Curve]:
    """Put the results of each method and beta together; they must come in the trials' order."""
    grouped = groupby(results, key=lambda result: (result.trial.method.name, result.trial.beta))
    return [
        Curve(group[0].trial.method, group[0].trial.beta, tuple(group))
        for group in (list(members) for _, members in grouped)
    ]
