"""The methods of drop-ins whose rules have passes."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch

from ..kernels.float_mode import in_default_mode
from ..optimizers.passes import Modes, bases_for
from ..rules.definitions import Definition


class HessianUpdates:
    """`update_hessian` of SophiaG, and a step that takes ``bs``."""

    param_groups: Any

    def step(self, closure: Callable[[], Any] | None = None, bs: float | None = None) -> Any:
        """Update every parameter that has a gradient, in one pass.

        Args:
            closure: evaluates the model again and returns the loss.
            bs: sets the option in all groups; None leaves it.

        Raises:
            RuntimeError: a gradient is sparse; nothing has been changed.
            TypeError, ValueError: a tensor or an option is not accepted; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        if bs is not None:
            for group in self.param_groups:
                group["bs"] = bs
        optimizer: Any = super()
        return optimizer.step(closure)

    @in_default_mode
    def update_hessian(self) -> None:
        """Update the estimate of the Hessian's diagonal from ``.grad``, in one pass.

        The gradients must be those of a loss whose labels are sampled from the model's own
        predictions, unscaled if a GradScaler has scaled the loss.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        optimizer: Any = self
        with optimizer._locked():
            optimizer._check_not_swapped("update_hessian")
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            optimizer._run_pass("update_hessian", grads)


_METHODS: dict[str, type] = {"train": Modes, "eval": Modes, "update_hessian": HessianUpdates}


PASSES = frozenset(_METHODS)
"""The passes that a rule may have."""


def drop_in_bases_for(definition: Definition) -> tuple[type, ...]:
    """Return the classes with the methods that run the passes of an optimizer's rules."""
    return bases_for(definition, _METHODS)


def pass_method(optimizer: torch.optim.Optimizer, definition: Definition, name: str) -> Any:
    """Return the method of an optimizer that runs a pass of its rule.

    Raises:
        AttributeError: it has none of this name.
    """
    if name not in definition.passes:
        raise AttributeError(f"{type(optimizer).__name__!r} object has no attribute {name!r}")
    return MethodType(vars(_METHODS[name])[name], optimizer)
