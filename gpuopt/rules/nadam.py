"""NAdam: Adam with Nesterov's look ahead (Dozat 2016)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, either
from .options import DECOUPLED, MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .powers import power, real_power
from .ranges import FINITE
from .registry import Rule, add_rule


def nadam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    gradient_size,
    average_size,
    inverse_root_correction2,
    eps,
):
    """Adam's m and v ; p = p - lr*((1-mu)*g/(1-P) + mu'*m/(1-P*mu')) / (sqrt(v^)+eps).

    mu is the momentum of this step, mu' that of the next, and P the product of all so far.
    """
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    ahead = gradient_size * g + average_size * exp_avg
    # If v has overflowed the step is zero, even if the sum has, too (inf/inf would be NaN).
    step = np.divide(np.where(denominator - denominator == 0.0, ahead, g), denominator)
    return p - step, exp_avg, exp_avg_sq


def nadam_coefficients(step, mu_product, lr, beta1, beta2, eps, momentum_decay):
    """Return the coefficients and P; mu = b1*(1 - 0.96^(t*momentum_decay)/2)."""
    mu = beta1 * (1.0 - 0.5 * real_power(0.96, step * momentum_decay))
    mu_next = beta1 * (1.0 - 0.5 * real_power(0.96, (step + 1) * momentum_decay))
    mu_product = mu_product * mu
    gradient_size = np.divide(lr * (1.0 - mu), 1.0 - mu_product)
    average_size = np.divide(lr * mu_next, 1.0 - mu_product * mu_next)
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return (
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        gradient_size,
        average_size,
        inverse_root_correction2,
        eps,
        mu_product,
    )


_MOMENTUM_DECAY = Option(
    "momentum_decay", 4e-3, "rate at which the momentum approaches beta1, at least 0", (FINITE,)
)
_OPTIONS = (learning_rate(2e-3), betas(), epsilon(), _MOMENTUM_DECAY)
_STATES, _CARRIED = ("exp_avg", "exp_avg_sq"), {"mu_product": 1.0}
_SQUARES = ("exp_avg_sq",)

add_rule(
    Rule(
        "nadam",
        nadam,
        nadam_coefficients,
        _STATES,
        _OPTIONS,
        carried=_CARRIED,
        nonnegative=_SQUARES,
    )
)
add_rule(
    Rule(
        "nadamw",
        nadam,
        nadam_coefficients,
        _STATES,
        _OPTIONS,
        decoupled=True,
        carried=_CARRIED,
        nonnegative=_SQUARES,
    )
)

define(
    Definition(
        "NAdam",
        either("nadam", "nadamw"),
        (*_OPTIONS[:3], weight_decay(), _MOMENTUM_DECAY, DECOUPLED, MAXIMIZE),
        choices=("decoupled_weight_decay",),
        summary="Adam with Nesterov's momentum.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
\mu_t = \beta_1 (1 - 0.5 \cdot 0.96^{t \psi}), \quad
p = p - lr \frac{(1-\mu_t) g / (1-\prod_{i \le t} \mu_i) +
\mu_{t+1} m / (1-\prod_{i \le t+1} \mu_i)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}
""",
        remarks=r"""
:math:`\psi` is ``momentum_decay``. Each tensor carries the product of its :math:`\mu` in float64,
as ``mu_product`` in its state.
""",
        source="Dozat, 2016",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = NAdam([w], lr=0.5, betas=(0.0, 0.0), eps=0.0)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)
