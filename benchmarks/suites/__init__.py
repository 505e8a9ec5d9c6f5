"""The suites: each is a module with a ``run`` that yields groups of lines.

One more is a file, and a line in `SUITES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from ..lines import Group
from ..models import Shapes

SUITES = {
    "update": "benchmarks.suites.update",
    "tail": "benchmarks.suites.tail",
    "host": "benchmarks.suites.host",
    "groups": "benchmarks.suites.groups",
    "accuracy": "benchmarks.suites.accuracy",
    "memory": "benchmarks.suites.memory",
}
"""What ``--suite`` knows, and the module of each."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
        rules: names of `CASES`.
        dtypes: of parameters and gradients.
        models: the tensors of each, by name.
        peers: whom to compare with.
        device: ``"cpu"`` or ``"cuda"``.
        rounds: samples of each contender.
        cold: whether the caches are emptied before each step.
        tensors: how many, for the host's suite.
        steps: before the errors are looked at.
    """

    rules: Sequence[str]
    dtypes: Sequence[str]
    models: Mapping[str, Shapes]
    peers: Sequence[str]
    device: str = "cpu"
    rounds: int = 9
    cold: bool = True
    tensors: Sequence[int] = (1, 148, 500, 5000)
    steps: int = 100


class Suite(Protocol):
    """What a suite's module has."""

    def run(self, asked: Asked) -> Iterator[Group]:
        """Yield what was measured, as it comes."""


def suite(name: str) -> Suite:
    """Return the module of a suite."""
    return cast(Suite, importlib.import_module(SUITES[name]))
