"""torch.optim's optimizers, each as one fused pass: the same names, the same arguments.

from gpuopt.torch import Adam        # in place of torch.optim
"""

try:
    import torch as _torch  # noqa: F401 - to say what to install, where it is not there
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f"gpuopt.torch needs torch: pip install 'gpuopt[torch]' ({_error})", name=_error.name
    ) from None

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
