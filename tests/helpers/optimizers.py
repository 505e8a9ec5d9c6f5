"""All optimizers with their options, and pairs of which one gets bad input."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.bits import plain

OPTIMIZERS = {name: getattr(gpuopt, name) for name in DEFINITIONS}
"""Every optimizer that users are offered by name."""

STAGE_OPTIONS = {"weight_decay": 0.25, "maximize": True}

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 0.5},
        {"lr": 0.5, **STAGE_OPTIONS},
        {"lr": 0.5, "momentum": 0.5, "dampening": 0.25, "state_dtype": "float64"},
        {"lr": 0.5, "momentum": 0.5, "nesterov": True},
    ],
    "Momentum": [
        {"lr": 0.5},
        {"lr": 0.5, "nesterov": True, "beta": 0.75},
        {"lr": 0.5, "beta": 0.5, "state_dtype": "float64", **STAGE_OPTIONS},
    ],
    "RMSProp": [
        {},
        {"centered": True, "lr": 0.5},
        {"momentum": 0.5, "beta": 0.75, "eps": 0.25},
        {"centered": True, "momentum": 0.5, "state_dtype": "bfloat16", **STAGE_OPTIONS},
    ],
    "RMSprop": [
        {},
        {"centered": True, "lr": 0.5},
        {"momentum": 0.5, "alpha": 0.75, "eps": 0.25},
        {"centered": True, "momentum": 0.5, "state_dtype": "bfloat16", **STAGE_OPTIONS},
    ],
    "Adam": [
        {},
        {"amsgrad": True, "lr": 0.5},
        {"betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "bfloat16", **STAGE_OPTIONS},
        {"decoupled_weight_decay": True, "weight_decay": 0.25},
        {"decoupled_weight_decay": True, "amsgrad": True},
    ],
    "AdamW": [
        {},
        {"amsgrad": True, "lr": 0.5, "state_dtype": "float16"},
        {"betas": (0.5, 0.75), "eps": 0.25, **STAGE_OPTIONS},
    ],
    "Adagrad": [
        {},
        {
            "lr": 0.5,
            "lr_decay": 0.25,
            "eps": 0.25,
            "initial_accumulator_value": 0.5,
            "state_dtype": "float64",
            **STAGE_OPTIONS,
        },
    ],
    "Adadelta": [
        {},
        {"lr": 0.5, "rho": 0.5, "eps": 0.25, "state_dtype": "float64", **STAGE_OPTIONS},
    ],
    "Adamax": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "float16", **STAGE_OPTIONS},
    ],
    "NAdam": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "momentum_decay": 0.5, **STAGE_OPTIONS},
        {"decoupled_weight_decay": True, "weight_decay": 0.25, "state_dtype": "bfloat16"},
    ],
    "RAdam": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, **STAGE_OPTIONS},
        {"decoupled_weight_decay": True, "weight_decay": 0.25, "state_dtype": "bfloat16"},
    ],
    "ASGD": [
        {},
        {
            "lr": 0.5,
            "lambd": 0.25,
            "alpha": 0.5,
            "t0": 1.0,
            "state_dtype": "float64",
            **STAGE_OPTIONS,
        },
    ],
    "Rprop": [
        {},
        {
            "lr": 0.5,
            "etas": (0.25, 2.0),
            "step_sizes": (0.125, 4.0),
            "maximize": True,
            "state_dtype": "float64",
        },
    ],
    "Lion": [{}, {"lr": 0.5, "betas": (0.5, 0.75), "state_dtype": "bfloat16", **STAGE_OPTIONS}],
    "DAdaptAdam": [
        {},
        {
            "lr": 0.5,
            "betas": (0.5, 0.75),
            "eps": 0.25,
            "use_bias_correction": True,
            "d0": 0.125,
            "growth_rate": 2.0,
            "layer_scale": 0.5,
            "state_dtype": "bfloat16",
            **STAGE_OPTIONS,
        },
        {"decouple": True, "weight_decay": 0.25},
    ],
    "Prodigy": [
        {},
        {
            "lr": 0.5,
            "betas": (0.5, 0.75),
            "beta3": 0.5,
            "eps": 0.25,
            "use_bias_correction": True,
            "safeguard_warmup": True,
            "d0": 0.125,
            "d_coef": 2.0,
            "growth_rate": 2.0,
            "state_dtype": "bfloat16",
            **STAGE_OPTIONS,
        },
        {"decouple": False, "weight_decay": 0.25},
        {"one_pass": True, "d0": 0.125},
        {"one_pass": True, "decouple": False},
    ],
    "LARS": [
        {},
        {"lr": 0.5, "momentum": 0.5, "dampening": 0.25, "nesterov": True, **STAGE_OPTIONS},
        {"trust_coefficient": 0.5, "state_dtype": "bfloat16"},
    ],
    "LAMB": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "float16", **STAGE_OPTIONS},
    ],
    "StableAdamW": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "bfloat16", **STAGE_OPTIONS},
    ],
    "CAdamW": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "bfloat16", **STAGE_OPTIONS},
    ],
    "MARS": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "gamma": 0.5, **STAGE_OPTIONS},
        {"optimize_1d": True, "state_dtype": "bfloat16"},
        {"lr_1d_factor": 0.5, "betas_1d": (0.5, 0.75), "weight_decay_1d": 0.25},
    ],
    "AdEMAMix": [
        {},
        {
            "lr": 0.5,
            "betas": (0.5, 0.75, 0.875),
            "alpha": 4.0,
            "beta3_warmup": 3.0,
            "alpha_warmup": 4.0,
            "eps": 0.25,
            "state_dtype": "bfloat16",
            **STAGE_OPTIONS,
        },
    ],
    "Adan": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75, 0.875), "eps": 0.25, **STAGE_OPTIONS},
        {"no_prox": True, "weight_decay": 0.25, "state_dtype": "bfloat16"},
    ],
    "ADOPT": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, **STAGE_OPTIONS},
        {"decouple": True, "weight_decay": 0.25, "state_dtype": "bfloat16"},
    ],
    "LaProp": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "state_dtype": "float16", **STAGE_OPTIONS},
    ],
    "SGDScheduleFree": [
        {"train_mode": True},
        {"lr": 0.5, "momentum": 0.5, "r": 0.5, "train_mode": True, **STAGE_OPTIONS},
        {"warmup_steps": 3.0, "weight_lr_power": 1.0, "state_dtype": "float64", "train_mode": True},
    ],
    "AdamWScheduleFree": [
        {"train_mode": True},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "train_mode": True, **STAGE_OPTIONS},
        {"warmup_steps": 3.0, "r": 0.5, "weight_lr_power": 1.0, "train_mode": True},
        {"state_dtype": "bfloat16", "train_mode": True},
    ],
    "RAdamScheduleFree": [
        {"train_mode": True, "silent_sgd_phase": False},
        {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "train_mode": True, **STAGE_OPTIONS},
        {"r": 0.5, "weight_lr_power": 1.0, "state_dtype": "bfloat16", "train_mode": True},
    ],
    "SophiaG": [
        {},
        {"lr": 0.5, "betas": (0.5, 0.75), "rho": 0.25, "bs": 2.0, **STAGE_OPTIONS},
        {"state_dtype": "bfloat16"},
    ],
}
"""For each optimizer, options that together select every rule and change every option."""

missing = OPTIMIZERS.keys() - OPTIONS.keys()
assert not missing, f"add {missing} to OPTIONS in tests/helpers/optimizers.py"

VARIANTS = [(name, options) for name, several in OPTIONS.items() for options in several]

ON_BACKENDS = [
    *(("numpy", name, options) for name, options in VARIANTS),
    *(("llvm", name, OPTIONS[name][-1]) for name in ("SGD", "Momentum", "AdamW")),
]
"""All variants on the backend without compilation, and some on LLVM."""

ALL_OPTIONS = {n: o for d in DEFINITIONS.values() for n, o in d.by_name.items()}
NUMBERS = {name for name, option in ALL_OPTIONS.items() if len(option.ranges) == 1}
FLAGS = {name for name, option in ALL_OPTIONS.items() if not option.ranges}
PAIRS = {name for name, option in ALL_OPTIONS.items() if len(option.ranges) == 2}

SHAPES = ((3, 5), (), (17,), (0, 4), (2, 3, 4))


def options_of(name):
    """Return the names of an optimizer's options."""
    return list(make(name, arrays(0)).param_groups[0])


def make(name, params, **options):
    """Return an optimizer by name, with the first of its `OPTIONS`."""
    return OPTIMIZERS[name](params, **{**OPTIONS[name][0], **options})


def arrays(seed, shapes=SHAPES, dtype=np.float32):
    """Return new arrays of normal values; equal arguments give equal values."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in shapes]


def gradients(step, shapes=SHAPES, dtype=np.float32):
    """Return the gradients of a step."""
    return arrays(1000 + step, shapes, dtype)


class Foreign:
    """An array of an unknown library that supports DLPack.

    Attributes:
        values: the memory, a NumPy array; may be replaced.
    """

    def __init__(self, values):
        """Hold ``values``."""
        self.values = values

    def __dlpack__(self, **options):
        """Export the memory."""
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        """Return the CPU."""
        return self.values.__dlpack_device__()


def frozen(array):
    """Return an array's dtype, shape and bits, for comparison with ``==``."""
    copy = plain(array)
    return str(copy.dtype), copy.shape, copy.tobytes()


def everything(optimizer, params):
    """Return everything that an optimizer may change: parameters, states, step counts, options."""
    state = {
        key: {n: v if isinstance(v, (int, float)) else frozen(v) for n, v in held.items()}
        for key, held in optimizer.state.items()
    }
    return [frozen(p) for p in params], state, [dict(g) for g in optimizer.param_groups]


@dataclass(frozen=True)
class Structure:
    """Functions that convert flat lists of parameters and gradients to a structure."""

    params: Callable[[list[Any]], Any]
    grads: Callable[[list[Any]], Any]


def _named(flat):
    return {f"layer.{i}": array for i, array in enumerate(flat)}


def _in_groups(flat):
    return [flat[:1], _named(flat[1:3]), tuple(flat[3:])]


STRUCTURES = {
    "list": Structure(list, list),
    "tuple": Structure(tuple, tuple),
    "dict": Structure(_named, _named),
    "generator": Structure(iter, list),
    "groups": Structure(lambda flat: [{"params": p} for p in _in_groups(flat)], _in_groups),
}


class Pair:
    """Two equal optimizers over equal arrays after two steps; one of them gets bad input."""

    def __init__(self, structure="list", steps=2, optimizer="Adam", seen=arrays, **options):
        """``seen`` creates the arrays of the optimizer that gets bad input."""
        self.structure = STRUCTURES[structure]
        self.params, self.twins = seen(0), arrays(0)
        self.optimizer = make(optimizer, self.structure.params(self.params), **options)
        self.twin = make(optimizer, self.structure.params(self.twins), **options)
        self.age = 0
        for _ in range(steps):
            self.step()

    def step(self):
        """Take the same valid step with both."""
        self.age += 1
        for optimizer in (self.optimizer, self.twin):
            optimizer.step(self.good(self.age))

    def good(self, step=100):
        """Return valid gradients."""
        return self.structure.grads(gradients(step))

    @contextmanager
    def refuses(self, error, *words):
        """Expect an error with all of ``words`` that changes nothing, then step both."""
        with self.refuses_for_now(error, *words):
            yield
        self.goes_on()

    @contextmanager
    def refuses_for_now(self, error, *words):
        """Expect an error with all of ``words`` that changes nothing."""
        before = everything(self.optimizer, self.params)
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert type(caught.value) is error, repr(caught.value)
        assert [word for word in words if word not in message] == [], message
        assert everything(self.optimizer, self.params) == before

    def goes_on(self):
        """Take valid steps with both; fail unless they stay equal."""
        for _ in range(2):
            self.step()
        assert everything(self.optimizer, self.params) == everything(self.twin, self.twins)
