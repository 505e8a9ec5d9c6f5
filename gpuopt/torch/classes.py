"""The drop-ins: a class for each definition in `gpuopt.rules`, derived from torch.optim's if any.

classes.pyi, which `make stubs` writes, holds what editors and type checkers see.
"""

from typing import Any

import torch

from ..optimizers.constructors import STATE_DTYPE, constructor, docstring, shared_numbers
from ..optimizers.loaded import OF_TAILS
from ..rules.definitions import DEFINITIONS, Definition
from .by_rule import Optimizer
from .flags import ADDED_FLAGS, FLAGS
from .fused import Fused
from .known_optimizers import register_optimizer
from .passes import drop_in_bases_for

__all__ = ["Optimizer", *DEFINITIONS]

_PARAMS = """parameters, named parameters, or groups as dicts with "params" and options of their
own"""

_DESCRIPTIONS = {
    "foreach": "accepted for torch's sake; the step is always one fused pass",
    "capturable": "keep the step counts on the parameters' device",
    "differentiable": "must be False",
    "fused": "under GradScaler, let the step unscale the gradients and skip by itself",
    "state_dtype": STATE_DTYPE,
    "norm_group": """a process group, or "world", whose processes each hold other plain parameters
        of one model, as under ZeroRedundancyOptimizer: the norm and skip_nonfinite are of all of
        them together, and all of them must step""",
}

_EXAMPLE = """
>>> import torch
>>> from gpuopt.torch import {0}
>>> w = torch.ones(2, requires_grad=True)
>>> opt = {0}([w], lr=1e-3, clip_norm=1.0)
{1}>>> (w * w).sum().backward()
>>> opt.step()
"""


def _example(definition: Definition) -> str:
    return _EXAMPLE.format(
        definition.name, ">>> opt.train()\n" if "train" in definition.passes else ""
    )


def _class_of(definition: Definition) -> type[Fused]:
    """Return the drop-in of an optimizer."""
    theirs = getattr(torch.optim, definition.name, None)
    names: dict[str, Any] = {"_definition": definition, "__module__": __name__}
    names.update(shared_numbers(definition))
    if theirs is None:
        names.update(__init__=constructor(definition, FLAGS), _added_flags=ADDED_FLAGS)
    bases = (*drop_in_bases_for(definition), *((Fused, theirs) if theirs else (Fused,)))
    made: Any = type(definition.name, bases, names)
    known = made.__signature__.parameters
    more = {name: text for name, text in _DESCRIPTIONS.items() if name in known}
    made.__doc__ = docstring(definition, _PARAMS, more, _example(definition))
    register_optimizer(made, definition.state_names | OF_TAILS)
    return made  # type: ignore[no-any-return]  # a class that mypy does not see


globals().update({name: _class_of(made) for name, made in DEFINITIONS.items()})
