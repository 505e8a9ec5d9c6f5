"""Rules that torch.optim does not have beside pytorch_optimizer's, in float64.

Its LaProp adds 1e-15 under the root, and its AdEMAMix warms up without the authors' 1e-8: the
formulas in oracles.py are what these are compared with.
"""

from itertools import product

import numpy as np
import pytest

import gpuopt
from tests.tolerances import assert_close

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("pytorch_optimizer")

STEPS = 50

THREE = [(0.9, 0.999, 0.9999), (0.5, 0.9, 0.75)]
EPS = [1e-8, 1e-2]

GRIDS = {
    "AdEMAMix": {"betas": THREE, "alpha": [2.0, 5.0], "eps": EPS, "weight_decay": [0.0, 0.1]},
    "Adan": {"betas": THREE, "no_prox": [False, True], "eps": EPS, "weight_decay": [0.0, 0.1]},
    "ADOPT": {"betas": [(0.9, 0.9999), (0.5, 0.9)], "eps": EPS, "weight_decay": [0.0, 0.1]},
    "LARS": {
        "momentum": [0.0, 0.9],
        "dampening": [0.0, 0.5],
        "nesterov": [False, True],
        "trust_coefficient": [1e-3, 0.5],
        "weight_decay": [0.0, 0.1],
    },
}

MORE = {
    "AdEMAMix": {"weight_decouple": True},
    "Adan": {},
    "LARS": {},
    "ADOPT": {"weight_decouple": False, "clip_lambda": lambda step: (step - 1) ** 0.25},
}
"""What makes theirs the authors': pytorch_optimizer's ADOPT counts its steps from 1, not from 0."""

CASES = [
    pytest.param(name, dict(zip(options, values)), id="-".join(map(str, (name, *values))))
    for name, options in GRIDS.items()
    for values in product(*options.values())
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps_are_those_of_pytorch_optimizer(name, options):
    rng = np.random.default_rng(5)
    p = (rng.uniform(1, 3, 30) * rng.choice([-1.0, 1.0], 30)).reshape(5, 6)
    tensor = torch.tensor(p)
    own = getattr(gpuopt, name)([p], lr=1e-2, **options)
    renamed = {{"no_prox": "weight_decouple"}.get(k, k): v for k, v in options.items()}
    other = getattr(theirs, name)([tensor], lr=1e-2, foreach=False, **renamed, **MORE[name])
    for step in range(STEPS):
        own.lr = other.param_groups[0]["lr"] = 1e-2 / (1 + step % 7)
        g = 0.3 + rng.standard_normal((5, 6))
        tensor.grad = torch.tensor(g)
        own.step([g])
        other.step()
    assert_close(p, tensor.numpy(), "torch float64")
