"""Packages with optimizers that torch.optim lacks.

Keys are the names of gpuopt's classes. Names and options are those of pytorch_optimizer 4.1,
optimi 0.3.3, schedulefree 1.4, prodigyopt 1.1 and dadaptation 3.2.
"""

from __future__ import annotations

from dataclasses import replace

from .packages import OPTIMI, Package

OPTIONS = ("lr", "betas", "eps", "momentum", "weight_decay")
"""The options that every package calls by the same name as gpuopt."""

_PYTORCH_OPTIMIZER = Package(
    "pytorch_optimizer",
    "pip install pytorch_optimizer",
    {
        "Lion": ("Lion", {}),
        "LARS": ("LARS", {}),
        "LAMB": ("Lamb", {"weight_decouple": False, "max_grad_norm": 0.0}),
        "StableAdamW": ("StableAdamW", {"kahan_sum": False}),
        "MARS": ("MARS", {}),
        "AdEMAMix": ("AdEMAMix", {"weight_decouple": True, "alpha": 2.0}),
        "Adan": ("Adan", {}),
        "ADOPT": ("ADOPT", {"clip_lambda": lambda step: (step - 1) ** 0.25}),
        "LaProp": ("LaProp", {}),
        "Prodigy": ("Prodigy", {}),
        "DAdaptAdam": ("DAdaptAdam", {}),
    },
)
_OPTIMI = replace(
    OPTIMI,
    optimizers={name: (name, {"triton": False}) for name in ("Lion", "StableAdamW", "Adan")},
)
_SCHEDULEFREE = Package(
    "schedulefree",
    "pip install schedulefree",
    {name: (name, {}) for name in ("SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree")},
)
_PRODIGYOPT = Package("prodigyopt", "pip install prodigyopt", {"Prodigy": ("Prodigy", {})})
_DADAPTATION = Package("dadaptation", "pip install dadaptation", {"DAdaptAdam": ("DAdaptAdam", {})})


def _foreach(package: Package, is_on: bool) -> Package:
    optimizers = {
        name: (own, {**more, "foreach": is_on}) for name, (own, more) in package.optimizers.items()
    }
    return replace(package, optimizers=optimizers)


REFERENCES: dict[str, Package] = {
    **{
        f"{name}{', foreach' * is_on}": _foreach(package, is_on)
        for name, package in {
            "pytorch_optimizer": _PYTORCH_OPTIMIZER,
            "optimi": _OPTIMI,
            "schedulefree": _SCHEDULEFREE,
        }.items()
        for is_on in (False, True)
    },
    "prodigyopt": _PRODIGYOPT,
    "dadaptation": _DADAPTATION,
}
"""The packages by the names of contenders, with torch's ``foreach`` calls and without."""

DIFFERENT: dict[str, str] = {
    "LAMB": "pytorch_optimizer's has no bias corrections",
}
"""Optimizers that differ in pytorch_optimizer, and are timed without a check."""
