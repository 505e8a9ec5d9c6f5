"""AdamW with different storage of states and weights: bytes, and times compared with torch's.

float32 parameters have states in float32, bfloat16 or 8 bits. bfloat16 parameters also have float32
master weights, or remainders in 16 or 8 bits; torch's version converts gradients and weights in
separate calls. DeepSpeed's step replaces torch's.

Then bfloat16 parameters are measured with the whole tail of a step: clipping, EMA, statistics,
skipping of non-finite gradients, and zeroing of gradients. The version with float32 masters is
checked against torch's calls before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from ..buffers import import_torch, new_params
from ..contest import COPY_BYTES, Contest, Make, bytes_of, copy_of
from ..lines import Group, Place
from ..measure import COPY
from ..models import Shapes
from ..peers.packages import DEEPSPEED
from ..peers.torch_calls import TorchCalls, TorchTail
from ..step import Step, Unavailable
from . import Settings
from .tail import compare, take_steps

TORCHS, DEEPSPEEDS = "torch fused", "DeepSpeed"
LR = 1e-4
COMPARED = ("grad_norm", "grad_max", "update_norm", "update_max", "param_norm", "param_max")
"""gpuopt's statistics that torch's calls also compute."""

Options = Mapping[str, Any]

STORAGES: dict[str, dict[str, Options]] = {
    "float32": {
        "float32": {},
        "bfloat16": {"state_dtype": "bfloat16"},
        "8bit": {"state_dtype": "8bit"},
    },
    "bfloat16": {
        "float32 masters": {"master_weights": True},
        "split16": {"master_weights": "split16"},
        "split8": {"master_weights": "split8"},
        "split16, 8bit": {"master_weights": "split16", "state_dtype": "8bit"},
        "split8, 8bit": {"master_weights": "split8", "state_dtype": "8bit"},
    },
}
"""The options of gpuopt's AdamW, by the dtype of the parameters and the contender's name."""

PLAIN = "no stats"
WHOLE: Options = {"clip_norm": 1.0, "skip_nonfinite": True, "ema_decay": 0.999, "zero_grads": True}
STATS: Options = {**WHOLE, "stats": True}
TAILS: dict[str, Options] = {
    "float32 masters": {"master_weights": True, **STATS},
    "split8, 8bit": {"master_weights": "split8", "state_dtype": "8bit", **STATS},
    f"split8, 8bit, {PLAIN}": {"master_weights": "split8", "state_dtype": "8bit", **WHOLE},
}
"""gpuopt's options with the whole tail, by the contender's name."""

CLIPS, SCALES = "torch calls", "torch calls, grad_scale"
TORCH_TAILS = {
    CLIPS: TorchTail(**STATS),
    f"{CLIPS}, {PLAIN}": TorchTail(**WHOLE),
    SCALES: TorchTail(**STATS, in_step=True),
    f"{SCALES}, {PLAIN}": TorchTail(**WHOLE, in_step=True),
}
"""The same for torch's calls."""


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each dtype and each model, then those of the whole tail."""
    yield from _bare(settings).groups(settings, settings.cold)
    if "bfloat16" in settings.dtypes:
        yield from _whole().groups(replace(settings, dtypes=["bfloat16"]), settings.cold)


def _bare(settings: Settings) -> Contest:
    peers = {TORCHS: torch_step, DEEPSPEEDS: _deepspeeds}
    peers = {name: make for name, make in peers.items() if name in settings.peers}
    makes: dict[str, dict[str, Make]] = {}
    costs: dict[str, dict[str, float]] = {}
    for dtype, own in STORAGES.items():
        made = {name: partial(_drop_in, options) for name, options in own.items()}
        makes[dtype] = {COPY: copy_of, **made, **peers}
        costs[dtype] = {name: bytes_of("adamw", dtype, options) for name, options in own.items()}
        costs[dtype] |= {COPY: COPY_BYTES, **dict.fromkeys(peers, TorchTail().bytes(dtype))}
    ours = {name for own in STORAGES.values() for name in own}
    return Contest("storage", "adamw", makes, costs, ours)


def _whole() -> Contest:
    dtype = "bfloat16"
    calls: dict[Place, TorchCalls] = {}

    def torchs(tail: TorchTail, place: Place, shapes: Shapes) -> Step:
        if place not in calls:  # one set per model, for all of torch's versions
            calls.clear()
            calls[place] = _calls(new_params(shapes, dtype, place.device))
        own = calls[place]
        return Step(lambda: own.step(tail), refill(own.params))

    ours = {name: partial(_drop_in, options) for name, options in TAILS.items()}
    peers = {name: partial(torchs, tail) for name, tail in TORCH_TAILS.items()}
    costs = {name: bytes_of("adamw", dtype, options) for name, options in TAILS.items()}
    costs |= {COPY: COPY_BYTES, **{name: t.bytes(dtype) for name, t in TORCH_TAILS.items()}}
    makes = {dtype: {COPY: copy_of, **ours, **peers}}
    return Contest("storage", "adamw", makes, {dtype: costs}, ours, check, ", whole tail")


def _drop_in(options: Options, place: Place, shapes: Shapes) -> Step:
    import gpuopt.torch

    params = new_params(shapes, place.dtype, place.device)
    step = gpuopt.torch.AdamW(params, LR, **options).step
    return Step(step, refill(params) if options.get("zero_grads") else nullcontext)


def torch_step(place: Place, shapes: Shapes) -> Step:
    """Return torch's fused step; for bfloat16, with the conversions of float32 masters."""
    calls = _calls(new_params(shapes, place.dtype, place.device), average=False)
    return Step(lambda: calls.step(TorchTail()))


def _deepspeeds(place: Place, shapes: Shapes) -> Step:
    if place.device != "cpu":
        raise Unavailable("its optimizer for the CPU is measured there alone")
    make = DEEPSPEED.constructor("adamw")
    params = new_params(shapes, place.dtype, place.device)
    calls = TorchCalls(params, lambda masters: make(masters, {"lr": LR}))
    return Step(lambda: calls.step(TorchTail()))


def _calls(params: list[Any], lr: float = LR, average: bool = True) -> TorchCalls:
    def adamw(masters: list[Any]) -> Any:
        return import_torch().optim.AdamW(masters, lr, fused=True)

    return TorchCalls(params, adamw, average)


def refill(params: Sequence[Any]) -> Callable[[], AbstractContextManager[None]]:
    """Return a context that restores the gradients' current values, outside the timed region."""
    torch, kept = import_torch(), [param.grad.clone() for param in params]

    def context() -> AbstractContextManager[None]:
        torch._foreach_copy_([param.grad for param in params], kept)
        return nullcontext()

    return context


def check(place: Place, shapes: Shapes = ((1000,), (33, 7), ())) -> None:
    """Raise RuntimeError unless gpuopt with float32 masters computes the same as torch's calls.

    Averages, statistics and gradients are compared after four steps, one of them non-finite.
    """
    import gpuopt.torch

    torch, lr, sizes = import_torch(), 0.1, (1.0, 64.0, float("inf"), 16.0)
    options = {**TAILS["float32 masters"], "ema_decay": 0.5}
    params = new_params(shapes, place.dtype, place.device)
    ours = gpuopt.torch.AdamW(params, lr, **options)
    take_steps(params, ours.step, sizes)
    averages = [ours.ema[param] for param in params]
    stats = torch.tensor([[getattr(s, name) for name in COMPARED] for s in ours.stats().values()])
    for name, tail in TORCH_TAILS.items():
        calls = _calls(new_params(shapes, place.dtype, place.device), lr)
        take_steps(calls.params, lambda c=calls, t=tail: c.step(replace(t, ema_decay=0.5)), sizes)
        compare([p.grad for p in params], [p.grad for p in calls.params], f"{name}: gradients")
        compare(averages, calls.emas, f"{name}: averages")
        if tail.stats:
            rows = [torch.stack(values) for reduced in calls.stats for values in reduced]
            compare([stats.T.cpu()], [torch.stack(rows).cpu()], f"{name}: statistics")
