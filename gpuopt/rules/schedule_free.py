"""Schedule-free SGD, AdamW and RAdam (Defazio et al. 2024)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import (
    MAXIMIZE,
    TRAIN_MODE,
    Option,
    epsilon,
    learning_rate,
    weight_decay,
)
from .powers import power, real_power
from .ranges import BELOW_ONE, FINITE, SHRINKING
from .registry import Rule, add_rule
from .rule import Stage

# --- the parameter is y, where gradients are evaluated; z is a state, and x the average ----------


def averaged(p, z, direction, average_weight, y_rate, lr):
    """y = y + c*(z-y) + lr*(b*(1-c)-1)*u ; z = z - lr*u."""
    return p + average_weight * (z - p) + y_rate * direction, z - lr * direction


def sgd_schedule_free(p, g, z, average_weight, y_rate, lr):
    """y = y + c*(z-y) + lr*(b*(1-c)-1)*g ; z = z - lr*g."""
    return averaged(p, z, g, average_weight, y_rate, lr)


def adamw_schedule_free(
    p,
    g,
    z,
    exp_avg_sq,
    beta2,
    one_minus_beta2,
    inverse_root_correction2,
    eps,
    decay,
    average_weight,
    y_rate,
    lr,
):
    """As SGD, over Adam's g/(sqrt(v^)+eps) + weight_decay*y."""
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    direction = np.divide(g, denominator) + decay * p
    p, z = averaged(p, z, direction, average_weight, y_rate, lr)
    return p, z, exp_avg_sq


def radam_schedule_free(
    p,
    g,
    z,
    exp_avg_sq,
    beta2,
    one_minus_beta2,
    adaptive,
    inverse_root_correction2,
    eps,
    decay,
    average_weight,
    y_rate,
    lr,
):
    """As AdamW; the gradient itself until enough steps make v reliable."""
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    direction = np.divide(g, np.where(adaptive != 0.0, denominator, 1.0)) + decay * p
    p, z = averaged(p, z, direction, average_weight, y_rate, lr)
    return p, z, exp_avg_sq


def towards_z(p, z, share):
    """y = x + (1-b)*(z-x), or back: x = y + (1-1/b)*(z-y)."""
    return p + share * (z - p)


# --- coefficients --------------------------------------------------------------------------------


def averaging(step, weight_sum, lr_max, lr, beta, r, weight_lr_power):
    """Return z's weight c in the average, y's rate, the sum of weights, and the largest lr."""
    lr_max = np.maximum(lr, lr_max)
    weight = real_power(1.0 * step, r) * real_power(lr_max, weight_lr_power)
    weight_sum = weight_sum + weight
    share = np.divide(weight, np.where(weight_sum != 0.0, weight_sum, 1.0))
    share = np.where(weight - weight == 0.0, share, 1.0)  # NaN for an infinite weight
    return share, lr * (beta * (1.0 - share) - 1.0), weight_sum, lr_max


def warmed_up(step, lr, warmup_steps):
    """Return the learning rate of a step."""
    return lr * np.minimum(1.0, np.divide(step, np.maximum(warmup_steps, 1.0)))


def sgd_schedule_free_coefficients(
    step, weight_sum, lr_max, lr, momentum, warmup_steps, r, weight_lr_power
):
    lr = warmed_up(step, lr, warmup_steps)
    share, y_rate, weight_sum, lr_max = averaging(
        step, weight_sum, lr_max, lr, momentum, r, weight_lr_power
    )
    return share, y_rate, lr, weight_sum, lr_max


def adamw_schedule_free_coefficients(
    step, weight_sum, lr_max, lr, beta1, beta2, eps, weight_decay, warmup_steps, r, weight_lr_power
):
    lr = warmed_up(step, lr, warmup_steps)
    share, y_rate, weight_sum, lr_max = averaging(
        step, weight_sum, lr_max, lr, beta1, r, weight_lr_power
    )
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return (
        beta2,
        1.0 - beta2,
        inverse_root_correction2,
        eps,
        weight_decay,
        share,
        y_rate,
        lr,
        weight_sum,
        lr_max,
    )


def radam_schedule_free_coefficients(
    step,
    weight_sum,
    lr_max,
    lr,
    beta1,
    beta2,
    eps,
    weight_decay,
    r,
    weight_lr_power,
    silent_sgd_phase,
):
    """Return the coefficients; v is reliable if rho, the length of its average, is above 4."""
    power2 = power(beta2, step)
    correction2 = 1.0 - power2
    longest = np.divide(2.0, 1.0 - beta2) - 1.0
    rho = longest - np.divide(2.0 * step * power2, correction2)
    known = (rho - 4.0) * (rho - 2.0) * longest
    most = np.where(rho > 4.0, (longest - 4.0) * (longest - 2.0) * rho, 1.0)  # else 0, even
    lr = lr * np.sqrt(np.where(rho > 4.0, np.divide(known, most), 1.0 - silent_sgd_phase))
    share, y_rate, weight_sum, lr_max = averaging(
        step, weight_sum, lr_max, lr, beta1, r, weight_lr_power
    )
    return (
        beta2,
        1.0 - beta2,
        np.where(rho > 4.0, 1.0, 0.0),
        np.divide(1.0, np.sqrt(correction2)),
        eps,
        weight_decay,
        share,
        y_rate,
        lr,
        weight_sum,
        lr_max,
    )


def train_coefficients(beta1):
    return (1.0 - beta1,)


def eval_coefficients(beta1):
    return (1.0 - np.divide(1.0, beta1),)


def sgd_train_coefficients(momentum):
    return (1.0 - momentum,)


def sgd_eval_coefficients(momentum):
    return (1.0 - np.divide(1.0, momentum),)


# --- rules ---------------------------------------------------------------------------------------

_BOTH = ("p", "z")
_PASSES = {
    "train": Stage("train", towards_z, ("p",), train_coefficients, _BOTH),
    "eval": Stage("eval", towards_z, ("p",), eval_coefficients, _BOTH),
}
_SGD_PASSES = {
    "train": Stage("train", towards_z, ("p",), sgd_train_coefficients, _BOTH),
    "eval": Stage("eval", towards_z, ("p",), sgd_eval_coefficients, _BOTH),
}
_CARRIED = {"weight_sum": 0.0, "lr_max": -1.0}
_Z = ("z",)

_MOMENTUM = Option("momentum", 0.9, "where y is between z (at 0) and x (at 1)", (SHRINKING,))
_BETAS = Option(
    "betas",
    (0.9, 0.999),
    "where y is between z (at 0) and x (at 1), and the decay rate of v, in [0, 1)",
    (SHRINKING, BELOW_ONE),
    ("beta1", "beta2"),
)
_DECAY = Option(
    "weight_decay", 0.0, "times y, is added to the normalized gradient; at least 0", (FINITE,)
)
_WARMUP = Option("warmup_steps", 0.0, "steps in which lr rises linearly, at least 0", (FINITE,))
_R = Option("r", 0.0, "power of the step in its weight in the average, at least 0", (FINITE,))
_POWER = Option(
    "weight_lr_power",
    2.0,
    "power of the largest lr so far in that weight, at least 0",
    (FINITE,),
)
_SILENT = Option(
    "silent_sgd_phase", True, "do not change the parameters until v is reliable; otherwise SGD"
)
_SGD_OPTIONS = (learning_rate(1.0), _MOMENTUM, _WARMUP, _R, _POWER)
_ADAMW_OPTIONS = (learning_rate(2.5e-3), _BETAS, epsilon(), _DECAY, _WARMUP, _R, _POWER)
_RADAM_OPTIONS = (learning_rate(2.5e-3), _BETAS, epsilon(), _DECAY, _R, _POWER, _SILENT)

add_rule(
    Rule(
        "sgd_schedule_free",
        sgd_schedule_free,
        sgd_schedule_free_coefficients,
        _Z,
        _SGD_OPTIONS,
        carried=_CARRIED,
        wide=_Z,
        copies=_Z,
        passes=_SGD_PASSES,
    )
)
add_rule(
    Rule(
        "adamw_schedule_free",
        adamw_schedule_free,
        adamw_schedule_free_coefficients,
        ("z", "exp_avg_sq"),
        _ADAMW_OPTIONS,
        carried=_CARRIED,
        wide=_Z,
        nonnegative=("exp_avg_sq",),
        copies=_Z,
        passes=_PASSES,
    )
)
add_rule(
    Rule(
        "radam_schedule_free",
        radam_schedule_free,
        radam_schedule_free_coefficients,
        ("z", "exp_avg_sq"),
        _RADAM_OPTIONS,
        carried=_CARRIED,
        wide=_Z,
        nonnegative=("exp_avg_sq",),
        copies=_Z,
        passes=_PASSES,
    )
)

# --- optimizers ----------------------------------------------------------------------------------

_SOURCE = 'Defazio et al., "The Road Less Scheduled", 2024'
_EQUATION = r"""
y = y + c_t (z - y) + lr_t (\beta_1 (1-c_t) - 1) u, \quad z = z - lr_t u, \quad
x = y + (1 - 1/\beta_1) (z - y)
"""
_MODES = r"""
The parameters are y, where gradients are evaluated, or the average x after ``eval()``; ``train()``
changes them back to y. As in the authors' package, ``train()`` must be called before the first
step, and a step after ``eval()`` raises an error. Before the first step, and as long as a parameter
has had no gradient, x and y are equal. Parameters are saved in their current mode, which state
dicts store as ``train_mode``; call ``eval()`` before saving a model.

:math:`c_t = w_t / \sum_i w_i`, :math:`w_t = t^r \max_i(lr_i)^{weight\_lr\_power}`. Each tensor
counts its own steps, and carries the sum and the largest learning rate in float64.
"""

define(
    Definition(
        "SGDScheduleFree",
        single("sgd_schedule_free"),
        (*_SGD_OPTIONS[:2], weight_decay(), *_SGD_OPTIONS[2:], MAXIMIZE, TRAIN_MODE),
        keyword_only=("maximize", "train_mode"),
        summary="SGD that averages its iterates instead of scheduling the learning rate.",
        equation=_EQUATION.replace(r"\beta_1", r"\mu").replace(" u", " g"),
        remarks=_MODES + "\n\n" + r":math:`\mu` is ``momentum``.",
        source=_SOURCE,
        example="""
>>> w = np.ones(1, np.float32)
>>> opt = SGDScheduleFree([w], lr=0.5, momentum=0.5)
>>> opt.train()
>>> for _ in range(2):
...     opt.step([np.ones(1, np.float32)])
>>> w
array([0.125], dtype=float32)
>>> opt.eval()
>>> w
array([0.25], dtype=float32)
""",
    )
)

define(
    Definition(
        "AdamWScheduleFree",
        single("adamw_schedule_free"),
        (*_ADAMW_OPTIONS, MAXIMIZE, TRAIN_MODE),
        keyword_only=("maximize", "train_mode"),
        summary="AdamW that averages its iterates instead of scheduling the learning rate.",
        equation=r"v = \beta_2 v + (1-\beta_2) g^2, \quad "
        r"u = \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda y, \quad" + _EQUATION,
        remarks=_MODES,
        source=_SOURCE,
        example="""
>>> w = np.ones(1, np.float32)
>>> opt = AdamWScheduleFree([w], lr=0.5, eps=0.0)
>>> opt.train()
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([0.5], dtype=float32)
""",
    )
)

define(
    Definition(
        "RAdamScheduleFree",
        single("radam_schedule_free"),
        (*_RADAM_OPTIONS, MAXIMIZE, TRAIN_MODE),
        keyword_only=("silent_sgd_phase", "maximize", "train_mode"),
        summary="AdamWScheduleFree with RAdam's rectification as its warm-up.",
        equation=r"v = \beta_2 v + (1-\beta_2) g^2, \quad "
        r"u = \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda y, \quad" + _EQUATION,
        remarks=r"""
:math:`lr_t = lr \cdot r_t`. While the rectification :math:`r_t` is not defined (the first 4 steps
at the default betas) it is 0, or with ``silent_sgd_phase=False`` it is 1 and
:math:`u = g + \lambda y`.
"""
        + "\n"
        + _MODES,
        source=_SOURCE,
        example="""
>>> w = np.ones(1, np.float32)
>>> opt = RAdamScheduleFree([w], lr=0.5, silent_sgd_phase=False)
>>> opt.train()
>>> opt.step([np.ones(1, np.float32)])
>>> w
array([0.5], dtype=float32)
""",
    )
)
