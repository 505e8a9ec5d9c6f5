"""Gradients so large that their squares overflow: what torch's optimizers make of them."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import OF_TORCH, assert_close  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

SIZES = (1.0, 0.25, 0.9, -0.25, -1.0, 0.0)
"""Of a gradient, against the largest one of its run."""

OPTIONS = [
    *((name, {}) for name in OF_TORCH),
    ("SGD", {"momentum": 0.5, "lr": 0.1}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("NAdam", {"lr": 1.0}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
]

TOLERANCE = {torch.float32: "few roundings in float32", torch.float64: "torch float64"}


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_what_torch_keeps_finite(name, options, dtype):
    largest = torch.finfo(dtype).max
    tops = torch.tensor([largest, 0.9 * largest, 1e-3 * largest, largest**0.75, 8.0], dtype=dtype)
    mine, theirs = (torch.linspace(-1, 1, len(tops), dtype=dtype) for _ in range(2))
    pairs = [
        (mine, getattr(ours, name)([mine], **options)),
        (theirs, getattr(torch.optim, name)([theirs], foreach=False, **options)),
    ]
    for size in (1e-30, *SIZES):
        for param, optimizer in pairs:
            param.grad = tops * size
            optimizer.step()
        known = theirs.isfinite()  # where a difference of gradients overflows, theirs becomes NaN
        assert known[-1]
        assert not mine.isnan().any()
        assert_close([mine[known]], [theirs[known]], TOLERANCE[dtype])


NAN = {
    "no eps, and no gradient yet": ("RMSprop", {"eps": 0.0}, (0.0,)),
    "no decay of infinite squares": ("Adam", {"betas": (0.9, 0.0)}, (3e38, 1.0)),
    "a decayed gradient that overflowed": ("Adam", {"weight_decay": 2.0, "lr": 0.0}, (1.0, 3e38)),
}


@pytest.mark.parametrize("case", NAN)
def test_what_is_nan_in_torch_too(case):
    name, options, gradients = NAN[case]
    for module in (ours, torch.optim):
        param = torch.full((1,), 1e38)
        optimizer = getattr(module, name)([param], **options)
        for g in gradients:
            param.grad = torch.tensor([g])
            optimizer.step()
        assert param.isnan()
