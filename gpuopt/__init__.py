"""gpuopt: fused, single-pass optimizer steps with the same bits on every backend.

>>> import numpy as np, gpuopt
>>> weights = {"w": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}
>>> opt = gpuopt.Adam(weights, lr=1e-3)
>>> opt.step({"w": np.ones((2, 3), np.float32), "b": None})  # in place; None: no gradient
>>> float(weights["w"][0, 0])
0.9990000128746033
"""

# isort: off
from .system import search_path  # noqa: F401 - first: what the others import is searched for
from . import checkout  # noqa: F401 - finds gpuopt.kernels, which the others import

# isort: on
from .engine.dispatch import Explanation, explain, use_backend
from .engine.stats import TensorStats
from .engine.tail import Tail
from .errors import BackendError
from .optimizers import classes
from .optimizers.classes import *  # noqa: F403 - one class for each optimizer in gpuopt.rules
from .rules.formats import FORMATS, Format, register_format
from .rules.registry import RULES, Rule, RuleError, register

__version__ = "0.2.0"

__all__ = [
    "FORMATS",
    "RULES",
    "BackendError",
    "Explanation",
    "Format",
    "Rule",
    "RuleError",
    "Tail",
    "TensorStats",
    "explain",
    "register",
    "register_format",
    "use_backend",
]
__all__ += classes.__all__


def __dir__() -> list[str]:
    """Return the public names alone."""
    return sorted([*__all__, "__version__"])
