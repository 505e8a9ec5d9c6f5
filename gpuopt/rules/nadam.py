"""NAdam: Adam with Nesterov's look ahead (Dozat 2016)."""

from __future__ import annotations

import numpy as np

from .powers import power, real_power
from .registry import register


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
    # Where v has overflowed the step is zero, even if the sum has, too (inf/inf would be NaN).
    step = np.divide(np.where(denominator - denominator == 0.0, ahead, g), denominator)
    return p - step, exp_avg, exp_avg_sq


def nadam_coefficients(step, mu_product, lr, beta1, beta2, eps, momentum_decay):
    """Return them, and P; mu = b1*(1 - 0.96^(t*momentum_decay)/2)."""
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


_NADAM = {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "momentum_decay": 4e-3}
_NADAM_STATES = ("exp_avg", "exp_avg_sq")

register(
    "nadam",
    nadam,
    nadam_coefficients,
    states=_NADAM_STATES,
    hyperparameters=_NADAM,
    carried={"mu_product": 1.0},
)
register(
    "nadamw",
    nadam,
    nadam_coefficients,
    states=_NADAM_STATES,
    hyperparameters=_NADAM,
    decoupled=True,
    carried={"mu_product": 1.0},
)
