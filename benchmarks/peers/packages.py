"""Packages with torch's optimizer interface, with options that disable quantization.

Names and options are those of apex (NVIDIA/apex, 2025), bitsandbytes 0.50, torchao 0.18,
FlashOptim 0.1.4, optimi 0.3.3 and DeepSpeed 0.19. Those that need a GPU have not been run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..buffers import SharedBuffers
from ..cases import Case, Options
from ..contender import Contender
from ..step import Step, Unavailable
from .torch_optim import parameters


@dataclass(frozen=True)
class Package:
    """A package and its optimizers.

    Attributes:
        module: the module to import.
        install: how to install it.
        optimizers: for each rule, the class and its options beyond the rule's.
    """

    module: str
    install: str
    optimizers: Mapping[str, tuple[str, Options]]

    def step(self, case: Case, buffers: SharedBuffers) -> Step:
        """Return the step of the package's optimizer, which allocates its own states."""
        make = self.constructor(case.name)
        return Step(make(parameters(buffers), case.torch_options).step)

    def constructor(self, rule: str) -> Callable[[list[Any], Options], Any]:
        """Return a function from parameters and the rule's options to the package's optimizer.

        Raises:
            Unavailable: the package is not installed, or does not have the rule.
        """
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            raise Unavailable(f"not installed ({error}); {self.install}") from None
        if rule not in self.optimizers:
            raise Unavailable(f"{self.module} has no {rule}")
        name, more = self.optimizers[rule]
        return lambda params, options: getattr(module, name)(params, **{**options, **more})


_FULL: Options = {"quantize": False, "master_weight_bits": None}
_NO_DECAY: Options = {"weight_decay": 0.0}

APEX = Package(
    "apex.optimizers",
    "see github.com/NVIDIA/apex",
    {
        "sgd": ("FusedSGD", {}),
        "momentum": ("FusedSGD", {}),
        "adam": ("FusedAdam", {"adam_w_mode": False}),
        "adamw": ("FusedAdam", {"adam_w_mode": True}),
    },
)
BITSANDBYTES = Package(
    "bitsandbytes.optim",
    "pip install bitsandbytes",
    {
        "momentum": ("SGD", {"optim_bits": 32}),
        "rmsprop": ("RMSprop", {"optim_bits": 32}),
        "adam": ("Adam", {"optim_bits": 32}),
        "adamw": ("AdamW", {"optim_bits": 32}),
    },
)
TORCHAO = Package(
    "torchao.optim",
    "pip install torchao",
    {"adam": ("_AdamW", _NO_DECAY), "adamw": ("_AdamW", {})},
)
OPTIMI = Package(
    "optimi",
    "pip install torch-optimi",
    {
        "sgd": ("SGD", {}),
        "momentum": ("SGD", {"torch_init": True}),
        "adam": ("Adam", {}),
        "adamw": ("AdamW", {}),
    },
)


def _flashoptim(fused: bool) -> Package:
    full = {**_FULL, "fused": fused}
    optimizers = {"sgd": "FlashSGD", "momentum": "FlashSGD"}
    optimizers |= {"adam": "FlashAdam", "adamw": "FlashAdamW"}
    return Package(
        "flashoptim",
        "pip install flashoptim",
        {rule: (name, full) for rule, name in optimizers.items()},
    )


def _deepspeed(name: str, decoupled: str) -> Package:
    return Package(
        "deepspeed.ops.adam",
        "pip install deepspeed",
        {"adam": (name, {decoupled: False}), "adamw": (name, {decoupled: True})},
    )


DEEPSPEED = _deepspeed("DeepSpeedCPUAdam", "adamw_mode")

PACKAGES: dict[str, dict[str, Contender]] = {
    device: {name: partial(Package.step, package) for name, package in packages.items()}
    for device, packages in {
        "cpu": {
            "bitsandbytes": BITSANDBYTES,
            "torchao": TORCHAO,
            "FlashOptim": _flashoptim(fused=False),
            "optimi": OPTIMI,
            "DeepSpeed": DEEPSPEED,
        },
        "cuda": {
            "apex": APEX,
            "bitsandbytes": BITSANDBYTES,
            "torchao": TORCHAO,
            "FlashOptim": _flashoptim(fused=True),
            "optimi": OPTIMI,
            "DeepSpeed": _deepspeed("FusedAdam", "adam_w_mode"),
        },
    }.items()
}
"""The packages by device and name."""
