"""The peers that gpuopt is compared with: used if installed, otherwise listed as left out."""

from ..contender import Contender
from .cupy_forms import CUPY_FORMS
from .numpy_forms import NUMPY_FORMS
from .packages import PACKAGES
from .torch_optim import TORCH_FORMS

PEERS: dict[str, dict[str, Contender]] = {
    "cpu": {**TORCH_FORMS, **PACKAGES["cpu"], **NUMPY_FORMS},
    "cuda": {**TORCH_FORMS, **PACKAGES["cuda"], **CUPY_FORMS},
}
"""The peers by device and name."""

ROUGH = ("torch compile", "torchao", "FlashOptim", "apex", "DeepSpeed")
"""Peers with a wider tolerance, since they compute ``1 - beta**step`` in float32."""
