"""The optimizers: torch's classes with a fused step, and two that torch does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.optimizer import ParamsT

from ..rules.ranges import ANY
from .arguments import check_numbers
from .fused import Fused
from .group_options import RANGES

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..engine.tail import TailOptions


_FLAGS = {
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
}
"""torch gives these to groups that were saved before its optimizers had them."""


class SGD(Fused, torch.optim.SGD):
    r"""Gradient descent with torch's momentum: the learning rate stays outside the velocity.

    .. math:: v = \mu v + (1-d) g, \quad p = p - lr \cdot v

    v = g at the first step; with ``nesterov`` :math:`p = p - lr (g + \mu v)`. Arguments and errors
    are those of torch.optim.SGD. Sutskever et al., 2013.
    """

    _rules = ("gradient_descent", "sgd_momentum", "sgd_nesterov")
    _counts = False

    def _rule(self, group: Mapping[str, Any]) -> str:
        if not group["momentum"]:
            return "gradient_descent"
        return "sgd_nesterov" if group["nesterov"] else "sgd_momentum"


class Adam(Fused, torch.optim.Adam):
    r"""Adam, and with ``amsgrad`` AMSGrad.

    .. math:: m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
        p = p - lr \cdot \hat m / (\sqrt{\hat v} + \epsilon)

    Arguments and errors are those of torch.optim.Adam. Kingma and Ba, 2015; Reddi et al., 2018.
    """

    _rules = ("adam", "amsgrad", "adamw", "adamw_amsgrad")

    def _rule(self, group: Mapping[str, Any]) -> str:
        name = "decoupled_weight_decay"  # older versions of torch's Adam have no such option
        decoupled = name in self.defaults and group[name]
        return self._rules[2 * bool(decoupled) + bool(group["amsgrad"])]


class AdamW(Fused, torch.optim.AdamW):  # torch's is an Adam since 2.7, and was none before
    """Adam with decoupled decay: ``p = (1 - lr*weight_decay) * p`` before the step.

    Arguments and errors are those of torch.optim.AdamW. Loshchilov and Hutter, 2019.
    """

    _rules = ("adamw", "adamw_amsgrad")

    def _rule(self, group: Mapping[str, Any]) -> str:
        return self._rules[bool(group["amsgrad"])]


class RMSprop(Fused, torch.optim.RMSprop):
    r"""Gradients divided by the root of their running mean square.

    .. math:: s = \alpha s + (1-\alpha) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)

    Arguments (``centered``, ``momentum``) and errors are those of torch.optim.RMSprop. A variance
    that rounding takes below zero counts as zero. Tieleman and Hinton, 2012; Graves, 2013.
    """

    _rules = ("rmsprop", "rmsprop_centered", "rmsprop_momentum", "rmsprop_centered_momentum")
    _names = {"beta": "alpha"}  # noqa: RUF012 - declared as a ClassVar by the base

    def _rule(self, group: Mapping[str, Any]) -> str:
        return self._rules[2 * bool(group["momentum"]) + bool(group["centered"])]


class Adagrad(Fused, torch.optim.Adagrad):
    r"""Gradients divided by the root of the sum of their squares.

    .. math:: S = S + g^2, \quad p = p - lr / (1 + (t-1) \eta) \cdot g / (\sqrt{S} + \epsilon)

    Arguments and errors are those of torch.optim.Adagrad. Duchi et al., 2011.
    """

    _rules = ("adagrad",)


class Adadelta(Fused, torch.optim.Adadelta):
    r"""Steps whose size follows from the steps before.

    .. math:: s = \rho s + (1-\rho) g^2, \quad
        \Delta = \sqrt{u + \epsilon} / \sqrt{s + \epsilon} \cdot g, \quad
        u = \rho u + (1-\rho) \Delta^2, \quad p = p - lr \cdot \Delta

    Arguments and errors are those of torch.optim.Adadelta. Zeiler, 2012.
    """

    _rules = ("adadelta",)


class Adamax(Fused, torch.optim.Adamax):
    r"""Adam by the infinity norm.

    .. math:: u = \max(\beta_2 u, |g| + \epsilon), \quad p = p - lr / (1-\beta_1^t) \cdot m / u

    Arguments and errors are those of torch.optim.Adamax. Kingma and Ba, 2015.
    """

    _rules = ("adamax",)


class NAdam(Fused, torch.optim.NAdam):
    """Adam that looks ahead along its momentum, as Nesterov's method does.

    Arguments (``momentum_decay``, ``decoupled_weight_decay``) and errors are those of
    torch.optim.NAdam. Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
    """

    _rules = ("nadam", "nadamw")

    def _rule(self, group: Mapping[str, Any]) -> str:
        return self._rules[bool(group["decoupled_weight_decay"])]


class ASGD(Fused, torch.optim.ASGD):
    """Gradient descent whose parameters are averaged on the side, in the state ``ax``.

    Arguments (``lambd``, ``alpha``, ``t0``) and errors are those of torch.optim.ASGD. Polyak and
    Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    """

    _rules = ("asgd",)
    _ranges = {**RANGES, "alpha": (ANY,)}  # noqa: RUF012 - declared as a ClassVar by the base


class RAdam(Fused, torch.optim.RAdam):
    """Adam that divides by the root only once its variance is known well enough.

    Arguments (``decoupled_weight_decay``) and errors are those of torch.optim.RAdam. Liu et al.,
    "On the Variance of the Adaptive Learning Rate and Beyond", 2020.
    """

    _rules = ("radam", "radamw")

    def _rule(self, group: Mapping[str, Any]) -> str:
        return self._rules[bool(group["decoupled_weight_decay"])]


class Rprop(Fused, torch.optim.Rprop):
    """Steps by the sign of the gradient; each element's size grows while the sign stays.

    Arguments and errors are those of torch.optim.Rprop. Riedmiller and Braun, 1993.
    """

    _rules = ("rprop",)


class Momentum(Fused):
    r"""Momentum with the learning rate inside the velocity.

    .. math:: v = \beta v + lr \cdot g, \quad p = p - v

    torch.optim.SGD keeps it outside; both agree until the learning rate changes.

    Args:
        params: parameters, named parameters, or groups as dicts.
        lr: learning rate, at least 0.
        beta: how much of the velocity stays, in [0, 1).
        weight_decay: L2 decay, at least 0.
        nesterov: take the gradient step from where the velocity leads.
        maximize: climb instead of descending.
        foreach: accepted for torch's sake; the step is always one fused pass.
        capturable: likewise.
        differentiable: must be False.
        fused: True lets the step unscale and skip by itself under GradScaler.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    Raises:
        ValueError: an argument that cannot be used.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    _rules = ("momentum", "nesterov")
    _left_out = _FLAGS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        beta: float = 0.9,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Check the arguments, as torch does."""
        check_numbers({"beta": beta})
        common = _common(lr, weight_decay, maximize, foreach, capturable, differentiable, fused)
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta value: {beta}")
        super().__init__(params, {**common, "beta": beta, "nesterov": nesterov}, **tail)

    def _rule(self, group: Mapping[str, Any]) -> str:
        return self._rules[bool(group["nesterov"])]


class Lion(Fused):
    r"""Lion: the sign of an interpolated momentum, with decoupled decay.

    .. math:: p = (1 - lr \lambda) p - lr \cdot sign(\beta_1 m + (1-\beta_1) g), \quad
        m = \beta_2 m + (1-\beta_2) g

    Args:
        params: parameters, named parameters, or groups as dicts.
        lr: learning rate, at least 0.
        betas: of the interpolation and of the momentum, each in [0, 1).
        weight_decay: decoupled decay, at least 0.
        maximize: climb instead of descending.
        foreach: accepted for torch's sake; the step is always one fused pass.
        capturable: likewise.
        differentiable: must be False.
        fused: True lets the step unscale and skip by itself under GradScaler.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    Raises:
        ValueError: an argument that cannot be used.

    Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
    """

    _rules = ("lion",)
    _left_out = _FLAGS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Check the arguments, as torch does."""
        check_numbers({"betas": betas})
        common = _common(lr, weight_decay, maximize, foreach, capturable, differentiable, fused)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {**common, "betas": betas}, **tail)


def _common(
    lr: float | torch.Tensor,
    weight_decay: float,
    maximize: bool,
    foreach: bool | None,
    capturable: bool,
    differentiable: bool,
    fused: bool | None,
) -> dict[str, Any]:
    """Check what all optimizers take, and return it by torch's names."""
    check_numbers({"lr": lr, "weight_decay": weight_decay})
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")
    if not weight_decay >= 0.0:
        raise ValueError(f"Invalid weight_decay value: {weight_decay}")
    return {
        "lr": lr,
        "weight_decay": weight_decay,
        "maximize": maximize,
        "foreach": foreach,
        "capturable": capturable,
        "differentiable": differentiable,
        "fused": fused,
    }
