"""The methods of optimizers whose rules have passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import NotAvailableError
from ..kernels.float_mode import in_default_mode
from ..rules.definitions import Definition
from ..rules.options import TRAIN_MODE
from ..rules.ranges import HAS_RECIPROCAL

MODE = TRAIN_MODE.name


class Modes:
    """`train` and `eval` of schedule-free optimizers, each a pass over parameters and states."""

    __slots__ = ()

    def train(self) -> None:
        """Set the parameters to the point at which gradients are evaluated; steps require this.

        Takes one pass over the parameters of the groups that are not in this mode yet.

        Raises:
            NotAvailableError: inside `ema_weights`.
        """
        _change_mode(self, "train", True)

    def eval(self) -> None:
        """Set the parameters to their averages, for evaluation and saving.

        Takes one pass over the parameters of the groups that are not in this mode yet.

        Raises:
            NotAvailableError: inside `ema_weights`.
        """
        _change_mode(self, "eval", False)


class HessianUpdates:
    """`update_hessian` of SophiaG over plain arrays."""

    __slots__ = ()

    @in_default_mode
    def update_hessian(self, grads: Any, *, scale: float = 1.0) -> None:
        """Update the estimate of the Hessian's diagonal, in one pass.

        Args:
            grads: the gradients of a loss whose labels are sampled from the model's own
                predictions; arrays as for `step`.
            scale: the factor by which the loss was multiplied; the gradients are divided by it.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        optimizer: Any = self
        factor = 1.0 / HAS_RECIPROCAL("scale", scale)
        with optimizer._locked():
            optimizer._check_not_swapped("update_hessian")
            optimizer._run_pass("update_hessian", grads, grad_factor=factor)


@in_default_mode
def _change_mode(optimizer: Any, name: str, on: bool) -> None:
    """Run a pass over the parameters of the groups that are not in a mode yet."""
    with optimizer._locked():
        optimizer._check_not_swapped(name)
        groups = optimizer.param_groups
        among = [i for i, group in enumerate(groups) if bool(group[MODE]) != on]
        if among:
            optimizer._run_pass(name, None, among)
            optimizer._set_mode([groups[i] for i in among], on)


_METHODS: dict[str, type] = {"train": Modes, "eval": Modes, "update_hessian": HessianUpdates}


def bases_for(definition: Definition, methods: Mapping[str, type] = _METHODS) -> tuple[type, ...]:
    """Return the classes with the methods that run the passes of an optimizer's rules.

    Args:
        definition: the optimizer's.
        methods: for each pass, the class with the method of that name.
    """
    return tuple(dict.fromkeys(kind for n, kind in methods.items() if n in definition.passes))


def check_mode(optimizer: Any, groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise NotAvailableError if a group is not in the mode that steps need."""
    for group in groups:
        if not group.get(MODE, True):
            raise NotAvailableError(
                f"step: {type(optimizer).__name__} is not in train mode: call its train() before "
                "training, and its eval() before the model is evaluated or saved"
            )
