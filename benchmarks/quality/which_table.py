"""The table of docs/which_optimizer.md, from the definitions and the results of `which`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..contest import bytes_of, kept_bytes_of
from .families import MEMBERS
from .results import Results
from .which_picture import loss_text

HEAD = (
    *("", "optimizer", "source", "kept", "moved"),
    *("digits: best", "at lr", "95% for lr", "characters: best", "at lr", "within 0.1 for lr"),
)


def rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield the rows, below `HEAD`."""
    for family, members in results.families().items():
        for i, name in enumerate(members):
            yield (
                *(family if i == 0 else "", name, *_of_definition(name)),
                *_of_task(results, name, "digits"),
                *_of_task(results, name, "transformer"),
            )


def _of_definition(name: str) -> tuple[str, str, str]:
    """Return source, bytes per element of states, and bytes moved per element; all in float32."""
    method = MEMBERS[name]
    definition = method.definition
    own = {k: v for k, v in method.options.items() if k in definition.defaults}
    tail = {k: v for k, v in method.options.items() if k not in own}
    rule = definition.rule_for({**definition.defaults, **own})
    own_bytes = (of(rule.name, "float32", tail) for of in (kept_bytes_of, bytes_of))
    kept, moved = (f"{count:g}" for count in own_bytes)
    return short(definition.source), kept, moved


def short(source: str) -> str:
    """Return a source without its title.

    >>> short('Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", 2022')
    'Xie et al., 2022'
    """
    return re.sub(r', "[^"]*"', "", source)


def _of_task(results: Results, name: str, task: str) -> tuple[str, str, str]:
    """Return the lowest loss, its rate, and the useful rates."""
    best = results.best(name, task)
    if best is None:
        return "diverged", "-", "none"
    useful = results.useful(name, task)
    span = f"{useful[0]:g} to {useful[-1]:g}" if len(useful) > 1 else f"{best[0]:g} alone"
    return loss_text(best[1], task), f"{best[0]:g}", span if useful else "none"
