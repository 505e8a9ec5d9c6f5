"""The memory and traffic of an optimizer, counted from its rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contest import bytes_of, kept_bytes_of
from gpuopt.rules.definitions import Definition
from gpuopt.rules.registry import Rule

STORAGES = (
    ("float32", None),
    ("float32", "bfloat16"),
    ("float32", "8bit"),
    ("bfloat16", None),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "8bit"),
)
"""Dtypes of parameters and gradients, and values of ``state_dtype``."""


@dataclass(frozen=True)
class Cost:
    """Bytes per element.

    Attributes:
        param: the dtype of parameters and gradients.
        state_dtype: as optimizers take it.
        moved: by a step, in all its passes.
        kept: of states, from step to step.
    """

    param: str
    state_dtype: str | None
    moved: float
    kept: float


def costs(rule: Rule) -> Iterator[Cost]:
    """Yield the cost of a rule in each storage."""
    for param, state_dtype in STORAGES:
        options = {} if state_dtype is None else {"state_dtype": state_dtype}
        moved = bytes_of(rule.name, param, options)
        kept = kept_bytes_of(rule.name, param, options)
        yield Cost(param, state_dtype, moved, kept)


def alike(definition: Definition) -> list[list[Rule]]:
    """Return an optimizer's rules, grouped by equal states and costs."""
    groups: dict[object, list[Rule]] = {}
    for rule in definition.all_rules:
        key = (rule.states, rule.wide, rule.not_in_8_bits, rule.not_in_float16, tuple(costs(rule)))
        groups.setdefault(key, []).append(rule)
    return list(groups.values())
