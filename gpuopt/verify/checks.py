"""What is checked, as data: backends with arrays, rules with dtypes, tails, and ways to step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, product
from typing import Any

from ..arrays import FLOATS
from ..rules.definitions import DEFINITIONS
from ..rules.registry import RULES
from .libraries import LIBRARIES

TARGETS = (
    ("llvm", "numpy"),
    ("triton", "torch"),
    ("cupy", "cupy"),
    ("llvm", "torch"),
    ("cupy", "torch"),
    ("triton", "cupy"),
)
"""Backends, and the libraries whose arrays they update; of each backend the first in full."""

TAIL: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "clip": {
        "": {},
        "clip_norm": {"clip_norm": 1.0},
        "clip_value": {"clip_value": 0.25},
    },
    "skip": {"": {}, "skip": {"skip_nonfinite": True}},
    "ema": {"": {}, "ema": {"ema_decay": 0.9}},
    "stats": {"": {}, "stats": {"stats": True}},
    "zero": {"": {}, "zero": {"zero_grads": True}},
    "narrow": {
        "": {},
        "master": {"master_weights": True},
        "split16": {"master_weights": "split16"},
        "split8": {"master_weights": "split8"},
        "kahan": {"kahan_sum": True},
        "rounding": {"stochastic_rounding": True, "seed": 5},
    },
    "states": {
        "": {},
        "bfloat16 states": {"state_dtype": "bfloat16"},
        "float16 states": {"state_dtype": "float16"},
        "8-bit states": {"state_dtype": "8bit", "min_8bit_size": 1},
    },
    "stages": {
        "": {},
        "decay": {"weight_decay": 0.03},
        "maximize": {"weight_decay": 0.03, "maximize": True},
        "scale": {"scale": 8.0},
    },
}
"""The options around every rule, in groups that exclude each other; "" where none is in use."""

_Chosen = tuple[int, str]
"""The number of a group of `TAIL`, and an option of it."""

LAYOUTS = {"": slice(None), "misaligned": slice(1, None), "gaps": slice(None, None, 2)}
"""How the tensors lie in memory, as the part of a larger array that each is."""

TO_A_DEVICE = "clip_norm+skip+ema+stats"
"""The tail of steps for which the host must not wait."""

EVERYWHERE = (("resume", ""), ("threads", ""), ("sums", ""), ("other order", ""))
"""The checks of each backend besides those of rules: how it steps, and its tail."""

CAUTION: Mapping[str, Mapping[str, Any]] = {
    "cautious": {"cautious": True},
    "cautious decay": {"weight_decay": 0.03, "cautious_weight_decay": True},
    "scheduled decay": {"weight_decay": 0.03, "decouple_lr": 0.5},
    "all caution": {
        "weight_decay": 0.03,
        "cautious": True,
        "cautious_weight_decay": True,
        "decouple_lr": 0.5,
    },
}
"""Options that not every rule takes, by names that a tail may have, too."""

CAUTIOUS = ("adamw", "lion", "adan", "nadamw", "sophiag")
"""Rules that take them all: one is checked with each, the others with all together."""

OF_TORCH = (("scaler", ""),)
"""Those that only torch has."""

ON_DEVICE = (
    ("streams", ""),
    ("order", ""),
    ("graph", ""),
    ("graph", TO_A_DEVICE),
    ("pinned", ""),
    ("devices", ""),
)
"""Those that need a device."""

OF_TORCH_ON_DEVICE = (("no waiting", ""), ("no waiting", TO_A_DEVICE))
"""Those that need both."""

ADDING = ("lamb", "dadapt_adam", "prodigy")
"""Rules whose coefficients wait for sums: over a tensor; over all, found behind the update, and in
front of it. On a device each goes through `GRAPHS`, since a kernel hands the sums to the next."""

GRAPHS = ("graph", "no waiting")
"""What `ADDING` goes through on a device."""

CODED = "split8+8-bit states"
"""A tail whose weights and states have the fewest bits."""


@dataclass(frozen=True)
class Check:
    """A training that a backend and NumPy go through, to be compared.

    Attributes:
        backend: what is checked.
        library: whose arrays it updates.
        kind: how it steps: ``"rule"``, or one of the names above.
        subject: a rule, or the optimizer of a drop-in.
        dtype: of parameters and gradients.
        tail: options of `TAIL`, joined by ``+``.
        layout: one of `LAYOUTS`.
    """

    backend: str
    library: str
    kind: str
    subject: str = "adam"
    dtype: str = "float32"
    tail: str = ""
    layout: str = ""

    @property
    def target(self) -> str:
        """The backend, and whose arrays."""
        return f"{self.backend}, {LIBRARIES[self.library].label}"

    @property
    def name(self) -> str:
        """What reports call it."""
        kind = () if self.kind == "rule" else (self.kind,)
        words = (*kind, self.subject, self.dtype, self.tail, self.layout)
        return f"{self.target}: {' '.join(filter(None, words))}"

    @property
    def options(self) -> dict[str, Any]:
        """The options that its tail stands for."""
        groups = (*TAIL.values(), CAUTION)
        known = {name: options for group in groups for name, options in group.items()}
        return {k: v for name in self.tail.split("+") for k, v in known[name].items()}

    def to_json(self) -> dict[str, str]:
        """Return it as JSON data."""
        return asdict(self)


def checks_for(backend: str, library: str, full: bool, devices: int) -> list[Check]:
    """Return the checks of a backend with the arrays of a library, the least usual first.

    Args:
        backend: its name.
        library: its name.
        full: whether all rules and dtypes; else a few, where the kernels have been checked with
            the arrays of another library.
        devices: the number of devices; 0 for a backend on the host.
    """
    kinds = [*(ON_DEVICE if devices else ()), *EVERYWHERE]
    if library == "torch":
        kinds += [*(OF_TORCH_ON_DEVICE if devices else ()), *OF_TORCH]
    found = [
        Check(backend, library, kind, tail=tail)
        for kind, tail in kinds
        if kind != "devices" or devices > 1
    ]
    if devices:
        found += _adding_on_device(backend, library, devices)
    if library == "torch":
        found += [Check(backend, library, "drop-in", name) for name in DEFINITIONS]
    found += [Check(backend, library, "rule", layout=layout) for layout in LAYOUTS if layout]
    found += _all_rules(backend, library) if full else _some(backend, library)
    lacking = LIBRARIES[library].lacks("bfloat16")
    return [c for c in found if not (lacking and "bfloat16" in f"{c.dtype} {c.tail}")]


def _all_rules(backend: str, library: str) -> Iterator[Check]:
    """Every rule in every dtype, and every rule and every tail together with another."""
    rows, rules = tails(), list(RULES)
    for i in range(max(len(rows), len(rules))):
        rule, tail = rules[i % len(rules)], rows[i % len(rows)]
        yield Check(backend, library, "rule", rule, dtype_for(tail, i), tail)
    for dtype, rule in product(FLOATS, RULES):
        yield Check(backend, library, "rule", rule, dtype)
        if adds(rule):
            yield Check(backend, library, "finite", rule, dtype)
    for rule in RULES:
        yield Check(backend, library, "late", rule)
    for rule in ADDING:
        yield Check(backend, library, "finite", rule, tail=TO_A_DEVICE)
    options = ("all caution", *CAUTION)
    for i, rule in enumerate(CAUTIOUS):
        yield Check(backend, library, "rule", rule, tuple(FLOATS)[i % len(FLOATS)], options[i])


def _adding_on_device(backend: str, library: str, devices: int) -> Iterator[Check]:
    yield Check(backend, library, "graph", "adam", "bfloat16", CODED)
    kinds = [kind for kind in GRAPHS if library == "torch" or kind != "no waiting"]
    for rule, kind in product(ADDING, (*kinds, *(["devices"] if devices > 1 else ()))):
        yield Check(backend, library, kind, rule)


def adds(rule: str) -> bool:
    """Return whether the coefficients of a rule depend on sums over tensors."""
    return bool(RULES[rule].sums or RULES[rule].totals)


def _some(backend: str, library: str) -> Iterator[Check]:
    for dtype in FLOATS:
        yield Check(backend, library, "rule", dtype=dtype)
    for rule in ADDING:
        yield Check(backend, library, "finite", rule)
    tail = "clip_norm+skip+ema+stats+zero+master"
    yield Check(backend, library, "rule", "adam", "bfloat16", tail)


def dtype_for(tail: str, number: int) -> str:
    """Return a dtype that a tail has an effect on; another for each number, where there are more.

    Only bfloat16 is rounded stochastically, or split, and only 16 bits have masters or
    compensations.
    """
    words = tail.split("+")
    if {"rounding", "split16", "split8"} & {*words}:
        return "bfloat16"
    if {"master", "kahan"} & {*words}:
        return ("bfloat16", "float16")[number % 2]
    return tuple(FLOATS)[number % len(FLOATS)]


@cache
def tails() -> tuple[str, ...]:
    """Return tails in which every two options of different groups of `TAIL` meet.

    Most faults show when one option, or two together, are in use. Chosen greedily, without chance.
    """
    groups = [[(i, name) for name in options] for i, options in enumerate(TAIL.values())]
    missing = {pair for a, b in combinations(groups, 2) for pair in product(a, b)}
    rows: list[str] = []
    while missing:
        row = list(min(missing))
        for i in {*range(len(groups))} - {i for i, _ in row}:
            row.append(max(groups[i], key=lambda one: _worth(one, row, missing)))
        missing -= set(combinations(sorted(row), 2))
        rows.append("+".join(name for _, name in sorted(row) if name))
    return tuple(rows)


def _worth(
    one: _Chosen, row: list[_Chosen], missing: set[tuple[_Chosen, _Chosen]]
) -> tuple[int, bool]:
    """Return how many missing pairs an option makes in a row; that it is one breaks ties.

    But no more than two options for nothing: each makes a kernel longer, which is to be compiled.
    """
    new = sum((min(one, other), max(one, other)) in missing for other in row)
    few = sum(bool(name) for _, name in row) < 2
    return new, few and bool(one[1])
