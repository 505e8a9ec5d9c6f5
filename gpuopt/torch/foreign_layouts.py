"""Where other packages keep what their optimizers need to continue, by the names of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Layout:
    """What a state dict of another package's optimizer holds.

    Attributes:
        states: their names of our states and carried numbers, where they differ.
        options: their names of our options, where they differ.
        numbers: their groups' names of our numbers, where they differ. A number is looked for in
            the state of each parameter, then in the groups.
        ahead: what is to be added to numbers to make them ours, by our names.
        dropped: their states that we do not need.
        absent: our states that theirs may lack, because they are zero.
        flat: our states that theirs may store with one dimension.
        expected: values of options that have no counterpart here.
        decouples: whether our weight decay is decoupled, if theirs has an option for that.
        matrices: whether tensors of more than two dimensions differ, unless ``optimize_1d``.
    """

    states: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    expected: Mapping[str, Any] = field(default_factory=dict)
    decouples: bool | None = None
    matrices: bool = False


@dataclass(frozen=True)
class Package:
    """A package whose optimizers store numbers in their groups.

    Attributes:
        converter: the function of gpuopt.torch that converts its state dicts.
        layouts: its optimizers, by the names of ours.
        signs: entries of a group that only its state dicts have together.
        refused: why others cannot be converted, by the names of ours.
        from_start: whether groups have them before the first step.
    """

    converter: str
    layouts: Mapping[str, Layout]
    signs: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    from_start: bool = True


DADAPTATION = Package(
    "from_dadaptation", {"DAdaptAdam": Layout()}, ("d", "k", "numerator_weighted")
)

PRODIGYOPT = Package(
    "from_prodigyopt",
    {"Prodigy": Layout(absent=("exp_avg",), flat=("s", "p0"), expected={"slice_p": 1})},
    ("d", "k", "d_numerator"),
)

_SCHEDULE_FREE = Layout(numbers={"step": "k"})

SCHEDULEFREE = Package(
    "from_schedulefree",
    dict.fromkeys(("AdamWScheduleFree", "SGDScheduleFree", "RAdamScheduleFree"), _SCHEDULE_FREE),
    ("k", "weight_sum"),
)

_OF_TORCH = "pytorch_optimizer's is torch.optim's, whose state dicts need no conversion"
_BIAS = {"use_bias_correction": "bias_correction"}
_DECOUPLE = {"decouple": "weight_decouple"}

PYTORCH_OPTIMIZER = Package(
    "from_pytorch_optimizer",
    {
        "Adadelta": Layout(decouples=False),
        "Adamax": Layout(decouples=False),
        "Adan": Layout(
            {"neg_pre_grad": "previous_grad"},
            {"no_prox": "weight_decouple"},
            expected={"max_grad_norm": 0.0},
        ),
        "AdEMAMix": Layout(
            {"exp_avg_fast": "exp_avg"},
            {"alpha_warmup": "t_alpha_beta3", "beta3_warmup": "t_alpha_beta3"},
            decouples=True,
        ),
        "ADOPT": Layout(options=_DECOUPLE, ahead={"step": 1}),  # it clips to step ** (1/4)
        "DAdaptAdam": Layout(options={**_DECOUPLE, **_BIAS}, numbers={"k": "step"}),
        "LaProp": Layout({"exp_avg_lr": "exp_avg_lr_1"}, dropped=("exp_avg_lr_2",), decouples=True),
        "LARS": Layout(),
        "Lion": Layout(decouples=True),
        "MARS": Layout(expected={"mars_type": "adamw"}, decouples=True, matrices=True),
        "Prodigy": Layout(
            options=_BIAS,
            numbers={"k": "step"},
            ahead={"k": -1, "step": -1},
            decouples=True,
        ),
        "RAdam": Layout(  # theirs ignores a decay that is not decoupled
            options={"decoupled_weight_decay": "weight_decouple"}, decouples=True
        ),
        "StableAdamW": Layout(dropped=("kahan_comp",), decouples=True),
    },
    ("step",),
    {
        "LAMB": "pytorch_optimizer's has no bias corrections, and norms of at most 10",
        "ASGD": "pytorch_optimizer's is another algorithm",
        **dict.fromkeys(("Adam", "AdamW", "NAdam", "RMSprop", "SGD"), _OF_TORCH),
    },
    from_start=False,
)

NO_COUNTERPART = ("cautious", "stable_adamw", "adanorm", "use_gc", "adam_debias", "ams_bound")
"""Variants that are options of several optimizers of pytorch_optimizer."""

PACKAGES = (DADAPTATION, PRODIGYOPT, SCHEDULEFREE, PYTORCH_OPTIMIZER)


def converter_for(name: str, groups: Sequence[Mapping[str, Any]]) -> str:
    """Return the converter for a state dict of another package, or "" if it is not known.

    Args:
        name: the name of our optimizer.
        groups: the groups of the state dict.
    """
    for package in PACKAGES:
        if name in package.layouts and groups and groups[0].keys() >= {*package.signs}:
            return package.converter
    return ""
