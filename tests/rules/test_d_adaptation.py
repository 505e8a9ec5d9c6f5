"""DAdaptAdam and Prodigy against their authors' packages, in float64."""

import math

import numpy as np
import pytest

import gpuopt
from tests.tolerances import assert_close

torch = pytest.importorskip("torch")

SHAPES = ((3, 5), (7,), ())
STEPS = 50

PACKAGES = {"DAdaptAdam": "dadaptation", "Prodigy": "prodigyopt"}

COMMON = {
    "lr": (1.0, 0.5),
    "betas": ((0.9, 0.999), (0.5, 0.75), (0.0, 0.9)),
    "eps": (1e-8, 0.25),
    "weight_decay": (0.0, 0.1),
    "decouple": (False, True),
    "use_bias_correction": (False, True),
    "d0": (1e-6, 1e-2),
    "growth_rate": (math.inf, 1.5),
}
GRID = {
    "DAdaptAdam": {**COMMON, "layer_scale": (1.0, 0.5)},
    "Prodigy": {
        **COMMON,
        "beta3": (None, 0.5),
        "safeguard_warmup": (False, True),
        "d_coef": (1.0, 2.0),
    },
}


def combinations(name, count=24):
    """Options of an optimizer: the defaults, and some of the grid; the same ones everywhere."""
    rng, grid = np.random.default_rng(0), GRID[name]
    drawn = [{o: v[rng.integers(len(v))] for o, v in grid.items()} for _ in range(count)]
    return [(name, options) for options in ({}, *drawn)]


class Reference:
    """An optimizer of its authors, over NumPy arrays."""

    def __init__(self, name, params, **options):
        """``params`` may be a list of groups."""
        module = pytest.importorskip(PACKAGES[name])
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        scale = options.pop("layer_scale", 1.0)
        self.groups = [
            {"layer_scale": scale, **g, "params": list(map(torch.tensor, g["params"]))}
            for g in groups
        ]
        self.params = [p.requires_grad_() for g in self.groups for p in g["params"]]
        self.opt = getattr(module, name)(self.groups, **options)

    def step(self, grads):
        """Update."""
        for p, g in zip(self.params, grads):
            p.grad = None if g is None else torch.tensor(g)
        self.opt.step()

    def arrays(self):
        """The parameters as arrays."""
        return [p.detach().numpy() for p in self.params]

    def number(self, name):
        """A number that the first group holds."""
        return float(self.opt.param_groups[0][name])


def gradients(step, params, targets, zeros):
    """Gradients of a quadratic with noise, now and then none, at first some of zero."""
    rng = np.random.default_rng(step)
    found = [p - t + 0.1 * rng.standard_normal(p.shape) for p, t in zip(params, targets)]
    if step < zeros:
        found = [0.0 * g for g in found]
    if step % 7 == 3:
        found[1] = None
    return [None if g is None else np.asarray(g) for g in found]


def drawn(seed):
    """Arrays."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


def compare(name, ours, theirs, params, laid=list, steps=STEPS):
    """Take steps with both."""
    targets, (group, *_) = drawn(1), theirs.opt.param_groups
    # DAdaptAdam knows only behind its pass that all gradients were zero, and has decayed by then.
    zeros = 0 if name == "DAdaptAdam" and group["decouple"] and group["weight_decay"] else 2
    for step in range(steps):
        given = gradients(step, theirs.arrays(), targets, zeros)
        theirs.step(given)
        ours.step(laid(given))
    assert theirs.number("d") > theirs.opt.defaults["d"]
    for number in ("d", "k"):
        assert_close(getattr(ours, number), theirs.number(number), "totals float64")
    for mine, other in zip(params, theirs.arrays()):
        assert_close(mine, other, "totals float64")


@pytest.mark.parametrize(("name", "options"), [c for name in PACKAGES for c in combinations(name)])
def test_the_steps_are_those_of_the_authors(name, options):
    params = drawn(0)
    theirs = Reference(name, drawn(0), **options)
    compare(name, getattr(gpuopt, name)(params, **options), theirs, params)


@pytest.mark.parametrize("name", PACKAGES)
def test_groups_share_the_estimate(name):
    def groups(arrays):
        return [
            {"params": arrays[:1], "weight_decay": 0.1},
            {"params": arrays[1:2], "eps": 1e-3},
            {"params": arrays[2:], "lr": 0.0},
        ]

    params = drawn(0)
    theirs = Reference(name, groups(drawn(0)), decouple=False)
    ours = getattr(gpuopt, name)(groups(params), decouple=False)
    compare(name, ours, theirs, params, lambda grads: [[g] for g in grads])
