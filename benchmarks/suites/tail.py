"""The tail of a training step: clipping, Adam, an EMA, and master weights for bfloat16.

gpuopt's drop-in is compared with `TorchCalls`. Both start from the same values and are compared
before they are timed. Bytes are counted from the tables and from torch's calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..buffers import import_torch, new_params
from ..contest import COPY_BYTES, Contest, bytes_of, copy_of
from ..lines import Group, Place
from ..measure import COPY
from ..models import Shapes
from ..peers.torch_calls import TorchCalls, TorchTail
from ..step import Step
from . import Settings

OURS, TORCHS = "gpuopt, drop-in", "torch calls"
LR, DECAY, LARGEST = 1e-3, 0.999, 1.0
DTYPES = ("float32", "bfloat16")
TORCH_TAIL = TorchTail(clip_norm=LARGEST, ema_decay=DECAY)

TOLERANCE = 1e-5
"""The tolerated difference after a float32 step, since both round in different orders."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each dtype and each model."""
    costs = {
        dtype: {
            COPY: COPY_BYTES,
            OURS: bytes_of("adam", dtype, options_of(dtype)),
            TORCHS: TORCH_TAIL.bytes(dtype),
        }
        for dtype in DTYPES
    }
    makes = {dtype: {COPY: copy_of, OURS: _ours, TORCHS: _torchs} for dtype in DTYPES}
    return Contest("tail", "adam", makes, costs, {OURS}, check).groups(settings)


def options_of(dtype: str, decay: float = DECAY) -> dict[str, Any]:
    """Return the options of gpuopt's optimizer."""
    return {"clip_norm": LARGEST, "ema_decay": decay, "master_weights": dtype == "bfloat16"}


def _ours(place: Place, shapes: Shapes) -> Step:
    import gpuopt.torch

    params = new_params(shapes, place.dtype, place.device)
    return Step(gpuopt.torch.Adam(params, LR, **options_of(place.dtype)).step)


def _torchs(place: Place, shapes: Shapes) -> Step:
    calls = TorchCalls(new_params(shapes, place.dtype, place.device), _adam, average=True)
    return Step(lambda: calls.step(TORCH_TAIL))


def _adam(params: list[Any], lr: float = LR) -> Any:
    return import_torch().optim.Adam(params, lr, fused=True)


def check(place: Place, shapes: Shapes = ((1000,), (33, 7), ())) -> None:
    """Raise RuntimeError unless both have equal averages after three steps.

    The learning rate and the weight of the average are large.
    """
    import gpuopt.torch

    decay, lr = 0.5, 0.1
    params = [new_params(shapes, place.dtype, place.device) for _ in range(2)]
    ours = gpuopt.torch.Adam(params[0], lr, **options_of(place.dtype, decay))
    calls = TorchCalls(params[1], lambda masters: _adam(masters, lr), average=True)
    take_steps(params[0], ours.step)
    take_steps(params[1], lambda: calls.step(TorchTail(clip_norm=LARGEST, ema_decay=decay)))
    compare([ours.ema[param] for param in params[0]], calls.emas, place.dtype)


def take_steps(
    params: Sequence[Any], step: Callable[[], object], sizes: Sequence[float] = (1.0, 64.0, 16.0)
) -> None:
    """Take a step for each size of the gradients.

    The magnitude of the gradients differs between steps, and some exceed the limit: with a constant
    magnitude, Adam's result would not depend on clipping.
    """
    given = [param.grad.clone() for param in params]
    for size in sizes:
        for param, grad in zip(params, given):
            param.grad = size * grad
        step()


def compare(ours: Sequence[Any], torchs: Sequence[Any], what: str) -> None:
    """Raise RuntimeError unless tensors are equal up to rounding."""
    torch = import_torch()
    for mine, other in zip(ours, torchs):
        if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE):
            raise RuntimeError(f"{what}: gpuopt and torch do not compute the same")
