"""The suites: modules whose ``run`` yields groups of lines.

To add one, write a module and list it in `SUITES`.
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
    "storage": "benchmarks.suites.storage",
    "cache": "benchmarks.suites.cache",
    "host": "benchmarks.suites.host",
    "groups": "benchmarks.suites.groups",
    "accuracy": "benchmarks.suites.accuracy",
    "memory": "benchmarks.suites.memory",
    "references": "benchmarks.suites.references",
}
"""The values of ``--suite``, and the module of each."""


@dataclass(frozen=True)
class Settings:
    """The settings from the command line.

    Attributes:
        rules: keys of `CASES`.
        dtypes: the dtypes of parameters and gradients.
        models: the shapes of each model, by name.
        peers: the names of the peers.
        device: ``"cpu"`` or ``"cuda"``.
        rounds: the number of samples per contender.
        cold: whether to flush the caches before each step.
        processor: whether suites tail, storage and references measure the CPU time of all threads.
        tensors: the tensor counts of suite host.
        steps: the steps of suite accuracy.
        others: keys of `OTHERS`, for suite references.
    """

    rules: Sequence[str]
    dtypes: Sequence[str]
    models: Mapping[str, Shapes]
    peers: Sequence[str]
    device: str = "cpu"
    rounds: int = 9
    cold: bool = True
    processor: bool = False
    tensors: Sequence[int] = (1, 148, 500, 5000)
    steps: int = 100
    others: Sequence[str] = ()


class Suite(Protocol):
    """The interface of a suite's module."""

    def run(self, settings: Settings) -> Iterator[Group]:
        """Yield each group when it is measured."""


def suite(name: str) -> Suite:
    """Return the module of a suite."""
    return cast(Suite, importlib.import_module(SUITES[name]))
