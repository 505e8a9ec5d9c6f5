"""The optimizers that are trained, the storages of their states, and their peers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..buffers import import_torch
from ..step import Unavailable
from . import flashoptim

Make = Callable[..., Any]
"""``optimizer = make(params, **options)``, of torch's interface."""


@dataclass(frozen=True)
class Method:
    """An optimizer with options that train all tasks.

    Attributes:
        name: its name on the command line, and in tables.
        drop_in: the class in gpuopt.torch.
        options: the options of both ours and the peers'.
        peers: for each library, the name of its 8-bit class.
    """

    name: str
    drop_in: str
    options: Mapping[str, Any]
    peers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """How weights and states are stored.

    Attributes:
        name: on the command line, and in tables.
        make: returns the optimizer of a method over parameters.
        weights: the dtype of weights and gradients; the forward pass is in float32.
        after: called with the optimizer after each step.
    """

    name: str
    make: Callable[[Method, Sequence[Any]], Any]
    weights: str = "float32"
    after: Callable[[Any], None] = lambda optimizer: None


def _ours(method: Method, params: Sequence[Any], **options: Any) -> Any:
    import gpuopt.torch

    return getattr(gpuopt.torch, method.drop_in)(params, **method.options, **options)


def _bitsandbytes(method: Method, params: Sequence[Any]) -> Any:
    options = {**method.options, "min_8bit_size": 1}
    return _class_of("bitsandbytes", method)(params, **options)


def _torchao(method: Method, params: Sequence[Any]) -> Any:
    """Return torchao's optimizer, not compiled, which changes no formula.

    It stores tensors in 8 bits that have at least 4,096 elements, in whole blocks of 256.
    """
    made = _class_of("torchao", method)
    import_torch().compiler.set_stance("force_eager")
    return made(params, **method.options)


def _class_of(package: str, method: Method) -> Any:
    """Return the class of another package; raise `Unavailable` if it has none, or is missing."""
    name = method.peers.get(package)
    if name is None:
        raise Unavailable(f"{package} has no {method.name} in 8 bits")
    try:
        return getattr(importlib.import_module(f"{package}.optim"), name)
    except ImportError as error:
        raise Unavailable(f"{package}: {error}") from error


_IN_8_BITS: Mapping[str, Any] = {"state_dtype": "8bit", "min_8bit_size": 1}

STORAGES = {
    storage.name: storage
    for storage in (
        Storage("float32", _ours),
        Storage("bf16 states", partial(_ours, state_dtype="bfloat16")),
        Storage("8bit", partial(_ours, **_IN_8_BITS)),
        Storage("8bit + split8", partial(_ours, **_IN_8_BITS, master_weights="split8"), "bfloat16"),
        Storage("Kahan", partial(_ours, kahan_sum=True), "bfloat16"),
        Storage("stochastic", partial(_ours, stochastic_rounding=True), "bfloat16"),
        Storage("FlashOptim's formulas", _ours, after=flashoptim.store),
        Storage("bitsandbytes 8bit", _bitsandbytes),
        Storage("torchao 8bit", _torchao),
    )
}

_ADAM = {"bitsandbytes": "Adam8bit", "torchao": "Adam8bit"}
_ADAMW = {"bitsandbytes": "AdamW8bit", "torchao": "AdamW8bit"}

METHODS = {
    method.name: method
    for method in (
        Method("Adam", "Adam", {"lr": 2e-3}, _ADAM),
        Method("AdamW", "AdamW", {"lr": 2e-3, "weight_decay": 0.01}, _ADAMW),
        Method("Lion", "Lion", {"lr": 3e-4}, {"bitsandbytes": "Lion8bit"}),
        Method("SGD momentum", "SGD", {"lr": 0.1, "momentum": 0.9}, {"bitsandbytes": "SGD8bit"}),
        Method("RMSprop", "RMSprop", {"lr": 1e-3}, {"bitsandbytes": "RMSprop8bit"}),
        Method("RMSprop centered", "RMSprop", {"lr": 1e-3, "centered": True}),
        Method("RMSprop both", "RMSprop", {"lr": 1e-4, "centered": True, "momentum": 0.9}),
        Method("AMSGrad", "Adam", {"lr": 2e-3, "amsgrad": True}),
        Method("Adagrad", "Adagrad", {"lr": 2e-2}, {"bitsandbytes": "Adagrad8bit"}),
        Method("Adadelta", "Adadelta", {"lr": 1.0}),
        Method("Adamax", "Adamax", {"lr": 3e-3}),
        Method("NAdam", "NAdam", {"lr": 2e-3}),
        Method("RAdam", "RAdam", {"lr": 2e-3}),
        Method("ASGD", "ASGD", {"lr": 0.1, "t0": 100}),
        Method("Rprop", "Rprop", {"lr": 1e-3, "step_sizes": (1e-6, 1e-2)}),
        Method("Momentum", "Momentum", {"lr": 0.03, "beta": 0.9}),
        Method("Nesterov", "Momentum", {"lr": 0.03, "beta": 0.9, "nesterov": True}),
        Method("AdEMAMix", "AdEMAMix", {"lr": 1e-3}),
        Method("Adan", "Adan", {"lr": 2e-3}),
        Method("ADOPT", "ADOPT", {"lr": 2e-3}),
        Method("LaProp", "LaProp", {"lr": 2e-3}),
    )
}
