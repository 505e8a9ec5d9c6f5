"""torch.optim's optimizers, each as one fused pass: the same names, the same arguments.

from gpuopt.torch import Adam        # in place of torch.optim
"""

from .classes import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    RAdam,
    RMSprop,
    Rprop,
)
from .in_backward import StepInBackward

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "RAdam",
    "RMSprop",
    "Rprop",
    "StepInBackward",
]
