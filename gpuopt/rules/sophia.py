"""Sophia-G (Liu et al. 2023)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, betas, learning_rate, weight_decay
from .ranges import FINITE
from .registry import Rule, add_rule
from .rule import Stage


def sophiag(p, g, exp_avg, hessian, beta1, one_minus_beta1, rho_bs, quotient_eps, lr):
    """m = b1*m + (1-b1)*g ; p = p - lr*clip(m/(rho*bs*h + 1e-15), -1, 1)."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    ratio = np.divide(exp_avg, rho_bs * hessian + quotient_eps)
    return p - lr * np.maximum(np.minimum(ratio, 1.0), -1.0), exp_avg


def sophiag_coefficients(step, lr, beta1, beta2, rho, bs):
    return beta1, 1.0 - beta1, rho * bs, 1e-15, lr


def update_hessian(g, hessian, beta2, one_minus_beta2):
    """h = b2*h + (1-b2)*g^2."""
    return beta2 * hessian + one_minus_beta2 * (g * g)


def update_hessian_coefficients(beta2):
    return beta2, 1.0 - beta2


_HESSIAN = ("hessian",)
_OPTIONS = (
    learning_rate(1e-4),
    betas(
        0.965, 0.99, description="decay rates of the averages of the gradient and of the Hessian"
    ),
    Option("rho", 0.04, "a larger one clips fewer elements, at least 0", (FINITE,)),
    Option(
        "bs",
        5120.0,
        "samples per gradient of `update_hessian` (tokens of a language model), at least 0",
        (FINITE,),
    ),
)

add_rule(
    Rule(
        "sophiag",
        sophiag,
        sophiag_coefficients,
        ("exp_avg", "hessian"),
        _OPTIONS,
        decoupled=True,
        wide=_HESSIAN,
        nonnegative=_HESSIAN,
        constant=_HESSIAN,
        passes={
            "update_hessian": Stage(
                "update_hessian",
                update_hessian,
                _HESSIAN,
                update_hessian_coefficients,
                ("g", "hessian"),
            )
        },
    )
)

define(
    Definition(
        "SophiaG",
        single("sophiag"),
        (*_OPTIONS[:3], weight_decay(0.1, decoupled=True), _OPTIONS[3], MAXIMIZE),
        keyword_only=("bs", "maximize"),
        summary="Momentum divided by an estimate of the Hessian's diagonal, then clipped.",
        equation=r"""
p = (1 - lr \lambda) p, \quad m = \beta_1 m + (1-\beta_1) g, \quad
p = p - lr \cdot clip\left(\frac{m}{\rho \cdot bs \cdot h + 10^{-15}}, -1, 1\right)
""",
        remarks=r"""
About every 10 steps, ``update_hessian`` takes the gradients :math:`\hat g` of a loss whose labels
are sampled from the model's own predictions: :math:`h = \beta_2 h + (1-\beta_2) \hat g^2`. A step
reads h but does not write it; h stays in float32 (float64 for float64 parameters), whatever
``state_dtype`` is. With ``skip_nonfinite``, gradients with an infinity or NaN do not change h
either.
""",
        source='Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer", 2023',
        example="""
>>> w = np.ones(2, np.float32)
>>> opt = SophiaG([w], lr=0.5, betas=(0.0, 0.0), rho=1.0, weight_decay=0.0, bs=1)
>>> opt.update_hessian([np.array([2.0, 4.0], np.float32)])
>>> opt.step([np.array([2.0, 32.0], np.float32)])
>>> w
array([0.75, 0.5 ], dtype=float32)
""",
    )
)
