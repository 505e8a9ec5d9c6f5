"""Compare the stationary states of every rule in 16 and in 8 bits with those in float32.

    python -m benchmarks.state_dtype

1,280 elements take 5/(1-beta) steps, five time constants of the states, with normal gradients of
mean 0.5 and standard deviation 1, then as many with a tenth of these. The table shows the largest
difference of each state's mean, over both halves and all betas, in units of its root mean square (a
mean near zero, as of differences of gradients, is only noise). A state that is rounded to nearest
would not move: a step changes it by less than half an ulp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from typing import Annotated, Any

import numpy as np

from gpuopt.engine.compose import compose
from gpuopt.engine.step import FusedStep, Group
from gpuopt.engine.tail import Tail
from gpuopt.rules.registry import RULES

from .arguments import known_threads, writable
from .command_line import Exit, File, checked, names, option, run, single, texts
from .report import load_average, show_machine, show_table

ELEMENTS = 1280
BETAS = (0.9, 0.99, 0.999, 0.9999)
DTYPES = ("bfloat16", "float16", "8bit")
SLOW = ("beta", "beta1", "beta2", "beta3", "rho", "momentum")
"""The hyperparameters that are the decay rate of a state."""

LIMIT = 0.03
"""The largest accepted difference of a mean; the noise of 1,280 elements is smaller."""

Means = list[dict[str, tuple[float, float]]]
"""The mean and the root mean square of each state, at the end of both halves."""


def group_of(rule: str, beta: float, state_dtype: str | None) -> Group:
    """Return a rule with options that give its states a time constant of 1/(1-beta) steps."""
    found = RULES[rule]
    slow = dict.fromkeys([name for name in SLOW if name in found.hyperparameters], beta)
    begun = {"t0": 10.0} if "t0" in found.hyperparameters else {}  # ASGD starts averaging here
    around = {"seed": 0.0, **dict.fromkeys(found.initial.values(), 0.0)}
    options = {**around, **found.hyperparameters, "lr": 1e-3, **slow, **begun}
    return Group(compose(found), options, state_dtype)


def means(rule: str, beta: float, state_dtype: str | None, steps: int) -> Means:
    """Return the means of the states after each half.

    Args:
        rule: its name.
        beta: the decay rate of the states.
        state_dtype: the dtype of the states; None for float32.
        steps: the number of steps per half.
    """
    group = group_of(rule, beta, state_dtype)
    tail = Tail(min_8bit_size=1)
    fused = FusedStep([np.zeros(ELEMENTS, np.float32)], ["p"], [0], tail)
    random = np.random.default_rng(0)
    found = []
    for size in (1.0, 0.1):
        for _ in range(steps):
            normal = random.standard_normal(ELEMENTS, np.float32)
            fused.run([np.float32(size) * (normal + np.float32(0.5))], [group])
        states = _wide(fused).items()
        found.append({k: (float(s.mean()), float(np.sqrt((s * s).mean()))) for k, s in states})
    return found


def _wide(fused: FusedStep) -> dict[str, Any]:
    (values,) = fused.values_of_states()
    return {name: np.asarray(state).astype(np.float64) for name, state in values.items()}


def differences(found: Means, expected: Means) -> dict[str, float]:
    """Return the largest difference of each state's mean, in its root mean squares.

    >>> differences([{"m": (2.0, 2.0)}, {"m": (1.0, 1.0)}], [{"m": (2.0, 2.0)}, {"m": (0.75, 2.0)}])
    {'m': 0.125}
    """
    return {
        name: max(abs(a[name][0] - b[name][0]) / b[name][1] for a, b in zip(found, expected))
        for name in expected[0]
        if all(b[name][1] for b in expected)  # those that are not always zero
    }


def measure(
    rules: Sequence[str], betas: Sequence[float], steps: int | None = None
) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """Yield each rule with the largest differences of its states, by dtype.

    Args:
        rules: their names.
        betas: the decay rates.
        steps: the number of steps per half; None for 5/(1-beta).
    """
    for rule in rules:
        worst: dict[str, dict[str, float]] = {dtype: {} for dtype in DTYPES}
        for beta in betas:
            count = steps or round(5 / (1 - beta))
            expected = means(rule, beta, None, count)
            for dtype, own in worst.items():
                for name, off in differences(means(rule, beta, dtype, count), expected).items():
                    own[name] = max(off, own.get(name, 0.0))
        yield rule, worst


def row(rule: str, worst: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Return a row of the table.

    >>> row("momentum", {"bfloat16": {"v": 0.004}, "float16": {"v": 0.05}})
    ('momentum', 'v 0.4%', 'v 5.0%', 'NO: float16')
    """
    cells = [", ".join(f"{n} {off:.1%}" for n, off in own.items()) for own in worst.values()]
    bad = [dtype for dtype, own in worst.items() if not max(own.values()) <= LIMIT]
    return rule, *cells, f"NO: {', '.join(bad)}" if bad else "yes"


_WITH_STATES = [name for name, rule in RULES.items() if rule.states]


def _beta(text: str) -> float:
    if not 0.0 <= (beta := float(text)) < 1.0:
        raise ValueError(f"expected numbers in [0, 1), got {text!r}")
    return beta


Rules = Annotated[
    list[names(_WITH_STATES)] | None, option(metavar="RULE", help=", ".join(_WITH_STATES))
]
Betas = Annotated[
    list[float] | None,
    option(parser=checked(_beta), metavar="BETA", help=f"default: {', '.join(map(str, BETAS))}"),
]
Steps = Annotated[int | None, option(min=1, metavar="N", help="per half; default: 5/(1-beta)")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(single(compare), "benchmarks.state_dtype", arguments)


def compare(
    rules: Rules = None, betas: Betas = None, steps: Steps = None, json: File = None
) -> None:
    """Print the differences of the means; exit with 1 if one is larger than the limit."""
    threads = known_threads()
    if threads is None or not writable([json]):
        raise Exit(2)
    show_machine(load_average(), threads)
    wanted = betas or list(BETAS)
    found = dict(measure(texts(rules) or _WITH_STATES, wanted, steps))
    title = f"States in fewer bits: difference of their means from float32's, betas {wanted}"
    rows = [row(rule, worst) for rule, worst in found.items()]
    show_table(title, ("rule", *DTYPES, f"within {LIMIT:.0%}"), rows, [])
    if json is not None:
        json.write_text(dumps(found, indent=1) + "\n")
    raise Exit(any(line[-1] != "yes" for line in rows))


if __name__ == "__main__":
    raise SystemExit(main())
