"""The textbook form in NumPy, and with numexpr."""

from __future__ import annotations

import importlib
from itertools import count
from typing import Any

from ..buffers import SharedBuffers
from ..cases import Case
from ..contender import Contender
from ..step import Step, Unavailable


def _textbook(case: Case, buffers: SharedBuffers) -> Step:
    textbook = case.textbook
    if textbook is None:
        raise Unavailable(f"no textbook form of {case.name} here")
    if buffers.dtype not in ("float32", "float64"):
        raise Unavailable("the textbook form rounds every operation to 16 bits")
    options = {k: v for k, v in case.options.items() if not isinstance(v, bool)}
    # Copies, since the textbook form replaces its states; made here, they do not count as extra.
    states = [[state.copy() for state in of_tensor.values()] for of_tensor in buffers.states]
    steps = count(1)

    def run() -> None:
        step = next(steps)
        for p, g, s in zip(buffers.params, buffers.grads, states):
            textbook(p, g, s, step, **options)

    return Step(run)


_EXPRESSIONS = {
    "sgd": ("p - lr*g",),
    "momentum": ("beta*s0 + lr*g", "p - s0"),
    "rmsprop": ("beta*s0 + (1 - beta)*g*g", "p - lr*g/(sqrt(s0) + eps)"),
    "adam": (
        "beta1*s0 + (1 - beta1)*g",
        "beta2*s1 + (1 - beta2)*g*g",
        "p - lr*(s0*unbias1)/(sqrt(s1*unbias2) + eps)",
    ),
}
"""For each rule, the new value of each state, then of the parameter."""


def _numexpr(case: Case, buffers: SharedBuffers) -> Step:
    try:
        numexpr = importlib.import_module("numexpr")
    except ImportError:
        raise Unavailable("not installed; pip install numexpr") from None
    if case.name not in _EXPRESSIONS or buffers.dtype != "float32":
        raise Unavailable(f"no form of {case.name} in {buffers.dtype} here")
    *of_states, of_param = _EXPRESSIONS[case.name]
    options = dict(case.options)
    options["beta1"], options["beta2"] = options.pop("betas", (0.0, 0.0))
    steps = count(1)

    def run() -> None:
        step = next(steps)
        numbers: dict[str, Any] = {
            **options,
            "unbias1": 1 / (1 - options["beta1"] ** step),
            "unbias2": 1 / (1 - options["beta2"] ** step),
        }
        for p, g, states in zip(buffers.params, buffers.grads, buffers.states):
            lists = {f"s{i}": state for i, state in enumerate(states.values())}
            known = {**numbers, **lists, "p": p, "g": g}
            for i, expression in enumerate(of_states):
                _evaluate(numexpr, expression, known, lists[f"s{i}"])
            _evaluate(numexpr, of_param, known, p)

    return Step(run)


def _evaluate(numexpr: Any, expression: str, known: dict[str, Any], out: Any) -> None:
    numexpr.evaluate(expression, known, {}, out=out, casting="same_kind")


NUMPY_FORMS: dict[str, Contender] = {"textbook NumPy": _textbook, "numexpr": _numexpr}
