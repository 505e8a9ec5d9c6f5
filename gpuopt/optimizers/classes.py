"""The optimizers over plain arrays: a class for each definition in `gpuopt.rules`.

classes.pyi, which `make stubs` writes, holds what editors and type checkers see.
"""

from ..rules.definitions import DEFINITIONS
from .base import Optimizer
from .constructors import class_of

__all__ = ["Optimizer", *DEFINITIONS]

globals().update({name: class_of(Optimizer, made, __name__) for name, made in DEFINITIONS.items()})
