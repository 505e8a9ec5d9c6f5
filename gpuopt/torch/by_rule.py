"""The drop-in of any registered rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim.optimizer import ParamsT

from ..optimizers.constructors import SharedNumber, shared_numbers
from ..rules.definitions import Definition, definition_for
from .flags import ADDED_FLAGS, FLAGS
from .fused import Fused
from .passes import PASSES, pass_method


class Optimizer(Fused):
    """A torch optimizer for a registered rule.

    Args:
        params: parameters, named parameters, or groups as dicts.
        rule: the name of a registered rule, which all groups share.
        **options: the rule's hyperparameters, ``weight_decay``, ``maximize``, torch's flags
            (``foreach``, ``capturable``, ``differentiable``, ``fused``), ``state_dtype``,
            ``norm_group``, and the tail's options, as `gpuopt.Tail` describes them.

    Raises:
        TypeError, ValueError: there is no such rule, or an argument cannot be used.

    >>> import torch
    >>> w = torch.zeros(1, requires_grad=True)
    >>> opt = Optimizer([w], rule="momentum", lr=0.5, beta=0.5)
    >>> for _ in range(2):
    ...     w.grad = torch.ones(1)
    ...     opt.step()
    >>> w.tolist()
    [-1.25]
    """

    _added_flags = ADDED_FLAGS

    def __init__(self, params: ParamsT, rule: str, **options: Any) -> None:
        """Check the arguments, and construct."""
        self.defaults = {"rule": rule}  # torch sets all attributes; the definition is needed first
        known = {**self._definition.defaults, **FLAGS}
        own = {name: options.pop(name, default) for name, default in known.items()}
        self._begin(params, {"rule": rule, **own}, options)

    @property
    def _definition(self) -> Definition:  # type: ignore[override]  # an instance attribute here
        return definition_for(self.defaults["rule"])

    def __getattr__(self, name: str) -> Any:
        """Return the method that runs a pass of the rule, or a number that its tensors share."""
        if "defaults" in vars(self):
            if name in PASSES:
                return pass_method(self, self._definition, name)
            number = self._shared_number(name)
            if number is not None:
                return number.__get__(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless the steps find it."""
        number = self._shared_number(name) if "defaults" in vars(self) else None
        if number is not None:
            number.__set__(self, value)
        super().__setattr__(name, value)

    def _shared_number(self, name: str) -> SharedNumber | None:
        return shared_numbers(self._definition).get(name) if "rule" in self.defaults else None

    def _check_all(self, groups: Sequence[Mapping[str, Any]], first: int = 0) -> None:
        super()._check_all(groups, first)
        rule = self.defaults["rule"]
        for i, group in enumerate(groups, first):
            if group.get("rule", rule) != rule:
                raise ValueError(
                    f"param_groups[{i}]: rule: expected {rule!r}, the rule of the whole optimizer, "
                    f"got {group['rule']!r:.80}"
                )

    def _check_changed(self, names: Sequence[str]) -> None:
        super()._check_changed(names)
        if "rule" in names:
            self._check_all(self.param_groups)
