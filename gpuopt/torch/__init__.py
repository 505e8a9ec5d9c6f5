"""Drop-ins for torch.optim: the same names and arguments, with each step fused into one pass.

from gpuopt.torch import Adam        # in place of torch.optim

Ways to copy an optimizer:

===========================  ==============  =====================================================
how                          parameters      groups, states and step counts
===========================  ==============  =====================================================
``copy.copy``                shared          shared until either loads a state dict, as in torch
``copy.deepcopy``, pickle    copies          copies, with exact counts
``b.load_state_dict(a's)``   b's own         copies; counts rounded to float32 (torch's format)
``gpuopt`` (arrays): copies  refused         refused
``gpuopt``: load_state_dict  its own         copies, with exact counts
===========================  ==============  =====================================================

torch.optim's own ``load_state_dict`` shares tensors with the state dict.
"""

try:
    import torch as _torch  # noqa: F401 - to say what to install if it is missing
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f"gpuopt.torch needs torch: pip install 'gpuopt[torch]' ({_error})", name=_error.name
    ) from None

from . import classes
from .classes import *  # noqa: F403 - one class for each optimizer in gpuopt.rules
from .foreign_groups import (
    from_dadaptation,
    from_prodigyopt,
    from_pytorch_optimizer,
    from_schedulefree,
)
from .foreign_states import from_bitsandbytes, from_torchao
from .in_backward import StepInBackward
from .installation import install, uninstall
from .wrappers import of

__all__ = ["StepInBackward", "from_bitsandbytes", "from_dadaptation", "from_prodigyopt"]
__all__ += ["from_pytorch_optimizer", "from_schedulefree", "from_torchao"]
__all__ += ["install", "of", "uninstall"]
__all__ += classes.__all__


def __dir__() -> list[str]:
    """Return the public names alone."""
    return sorted(__all__)
