"""Combinations of everything around a step, and arrays for them."""

import itertools

import numpy as np

from tests.tail.statement import dtype_of

SHAPES = ((5,), (70_000,), (0,), (), (33, 7))

SURROUNDINGS = [
    {},
    {"clip_norm": 1.0},
    {"clip_norm": 1e9, "clip_value": 0.25},
    {"ema_decay": 0.75},
    {"clip_norm": 0.5, "ema_decay": 0.75, "skip_nonfinite": True, "zero_grads": True},
    {"skip_nonfinite": True, "stats": True},
    {"clip_norm": 1.0, "ema_decay": 0.5, "stats": True, "zero_grads": True, "clip_value": 0.01},
]
STORED = [{}, {"master_weights": True}, {"kahan_sum": True}, {"stochastic_rounding": True}]
NARROW_STATES = [
    {"state_dtype": "bfloat16"},
    {"state_dtype": "float16", "seed": 3},
    {"state_dtype": "bfloat16", "stochastic_rounding": True, "ema_decay": 0.75, "clip_norm": 1.0},
    {"state_dtype": "bfloat16", "master_weights": True, "skip_nonfinite": True},
    {"state_dtype": "float16", "kahan_sum": True, "stats": True, "zero_grads": True},
]
COMBINATIONS = [{**a, **b} for a, b in itertools.product(SURROUNDINGS, STORED)] + NARROW_STATES


def label(case):
    """A combination as a test's name."""
    return "-".join(f"{k}={v}" for k, v in case.items()) or "nothing"


def new_params(dtype, shapes=SHAPES, seed=0):
    """Parameters of ordinary values."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(s)).astype(dtype_of(dtype)) for s in shapes]


def new_grads(dtype, step, shapes=SHAPES, bad=False):
    """The gradients of a step, one of them with an infinity if ``bad``."""
    grads = new_params(dtype, shapes, 1000 + step)
    if bad:
        grads[1][69_999] = np.inf
    return grads
