"""torch.optim's optimizers, each as one fused pass: the same names, the same arguments.

from gpuopt.torch import Adam        # in place of torch.optim
"""

from .classes import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)
from .in_backward import StepInBackward

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "StepInBackward",
]
