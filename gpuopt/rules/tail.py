"""The stages of the tail: clipping, the EMA of the weights, and the rounding of parameters."""

from __future__ import annotations

import numpy as np

from ..kernels.roundings import round_bfloat16, round_float16
from .registry import Stage, State
from .stages import scale_gradient

# --- clipping ------------------------------------------------------------------------------


def clip_gradient_coefficients(maximize, grad_factor, clip_norm, sum_of_squares):
    """Factor = min(1, clip_norm / (norm + 1e-6)) of the unscaled norm, as in clip_grad_norm_."""
    norm = np.sqrt(sum_of_squares) * np.abs(grad_factor)
    clipped = np.minimum(1.0, np.divide(clip_norm, norm + 1e-6))
    return (clipped * grad_factor * (1.0 - 2.0 * maximize),)


def clip_value(g, largest):
    """g = min(max(g, -largest), largest); NaN stays NaN."""
    return np.minimum(np.maximum(g, -1.0 * largest), largest)


def clip_value_coefficients(clip_value):
    return (clip_value,)


# --- the average of the weights, and zeroed gradients --------------------------------------


def ema(p, ema, ema_weight):
    """ema = ema + (1-ema_decay) * (p-ema)."""
    return ema + ema_weight * (p - ema)


def ema_coefficients(ema_decay):
    return (1.0 - ema_decay,)


def zero_gradient(g):
    """g = 0, even for infinity and NaN."""
    return np.where(g == g, 0.0, 0.0)


# --- parameters in 16 bits -----------------------------------------------------------------


def take_master(master):
    """p = master."""
    return master


def keep_master(p):
    """master = p; the parameter itself is rounded when it is stored."""
    return p


def add_compensation(p, kahan_comp):
    """p = p + kahan_comp: add back the last rounding error."""
    return p + kahan_comp


def compensate_bfloat16(p):
    """The parameter as it will be stored, and the rounding error (Kahan)."""
    stored = round_bfloat16(p)
    return stored, p - stored


def compensate_float16(p):
    stored = round_float16(p)
    return stored, p - stored


def as_bfloat16(p):
    """The parameter as it will be stored."""
    return round_bfloat16(p)


def as_float16(p):
    return round_float16(p)


CLIP_GRADIENT = Stage("clip_gradient", scale_gradient, ("g",), clip_gradient_coefficients)
CLIP_VALUE = Stage("clip_value", clip_value, ("g",), clip_value_coefficients)
EMA = Stage("ema", ema, ("ema",), ema_coefficients, ("p", "ema"), State("ema", copies=True))
ZERO_GRADIENT = Stage("zero_gradient", zero_gradient, ("g",))
TAKE_MASTER = Stage("take_master", take_master, ("p",), values=("master",))
KEEP_MASTER = Stage("keep_master", keep_master, ("master",), state=State("master", copies=True))
ADD_COMPENSATION = Stage("add_compensation", add_compensation, ("p",), values=("p", "kahan_comp"))
COMPENSATE = {
    dtype: Stage(
        f"compensate_{dtype}", function, ("p", "kahan_comp"), state=State("kahan_comp", narrow=True)
    )
    for dtype, function in (("bfloat16", compensate_bfloat16), ("float16", compensate_float16))
}
ROUND = {
    dtype: Stage(f"round_{dtype}", function, ("p",))
    for dtype, function in (("bfloat16", as_bfloat16), ("float16", as_float16))
}
