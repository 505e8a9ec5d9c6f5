"""An optimizer of gpuopt.torch beside torch's own, over equal parameters."""

import inspect

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from tests.rules.oracles import training  # noqa: E402
from tests.tolerances import TOLERANCES  # noqa: E402

CLASSES = list(DEFINITIONS)
"""All optimizers."""

OF_TORCH = [name for name in CLASSES if hasattr(torch.optim, name)]
"""The classes that torch has, too."""

OPTIONS = {
    "NAdam": {"lr": 0.01, "momentum_decay": 0.01},
    "ASGD": {"lr": 0.1, "t0": 3, "lambd": 0.01},
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "RAdam": {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
    **{name: options for name in CLASSES if (options := training(name))},
}
"""Options under which a class keeps as much as it can."""

SHAPES = ((3, 4), (7,), (), (0,), (2, 3, 5))


def parameters(dtype=torch.float64, seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    if dtype.is_complex:
        made = [torch.complex(m, m.flip(0) if m.ndim else -m) for m in made]
    return [m.to(dtype).requires_grad_() for m in made]


def give_gradients(params, step, resting=()):
    """Set the gradients of a step; each parameter's own for each step."""
    drawn = parameters(params[0].dtype, 100 + step, [p.shape for p in params])
    for i, (param, grad) in enumerate(zip(params, drawn)):
        param.grad = None if i in resting else grad.detach().to(param.dtype)


class Pair:
    """The same optimizer twice.

    Attributes:
        mine, theirs: the optimizers.
        params, twins: their parameters.
    """

    def __init__(self, name, dtype=torch.float64, shapes=SHAPES, **options):
        options = options or OPTIONS.get(name, {})
        self.params, self.twins = parameters(dtype, shapes=shapes), parameters(dtype, shapes=shapes)
        self.mine = getattr(ours, name)(self.params, **options)
        self.theirs = getattr(torch.optim, name)(self.twins, **options)
        self.taken = 0

    def step(self, count=1, resting=()):
        for _ in range(count):
            for params, optimizer in ((self.params, self.mine), (self.twins, self.theirs)):
                give_gradients(params, self.taken, resting)
                optimizer.step()
            self.taken += 1
        return self

    def assert_close(self, tolerance="torch float64"):
        assert_close(self.params, self.twins, tolerance)


def assert_close(mine, theirs, tolerance="torch float64"):
    allowed = TOLERANCES[tolerance]  # parameters are about 1: beside zero, it is absolute
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(
            a, b, rtol=allowed.relative, atol=max(allowed.absolute, allowed.relative)
        )


def accepts(name, option):
    return option in inspect.signature(getattr(ours, name)).parameters
