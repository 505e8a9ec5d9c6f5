"""Trainings with gpuopt.torch; torch is imported by those who run them."""

from __future__ import annotations

from typing import Any

import torch

from .. import torch as drop_ins
from .checks import Check
from .compare import IN_ANOTHER_ORDER, Outcome, left
from .steps import D0, INFINITE, LR, SKIPPED, STEPS, Side, grows, lr_of, parameters
from .values import tame

SCALE = 8.0
METHODS = ("update_hessian", "eval", "train")
"""Those that run passes, in an order after which a step is possible."""


def stepped(check: Check, side: Side) -> Outcome:
    """A drop-in for torch.optim, by ``p.grad`` and ``step()``."""
    params = [param.requires_grad_() for param in parameters(check, side)]
    start = {"d0": D0} if grows(check) else {}
    optimizer = getattr(drop_ins, check.subject)(params, lr=lr_of(check), **start)
    passes = [getattr(optimizer, name) for name in METHODS if hasattr(optimizer, name)]
    for step in range(1, STEPS + 1):
        for run in passes:
            run()
        _give(params, _grads(check, side, step))
        optimizer.step()
    return _left(optimizer, params)


def scaled(check: Check, side: Side) -> Outcome:
    """Steps under GradScaler, of which one overflows, and is skipped."""
    params = [param.requires_grad_() for param in parameters(check, side)]
    optimizer = drop_ins.Adam(params, lr=LR, fused=True)
    scaler = torch.amp.GradScaler(params[0].device.type, init_scale=SCALE)
    for step in range(1, STEPS + 1):
        scaler.scale(torch.ones((), device=params[0].device))
        _give(params, _grads(check, side, step, INFINITE if step == SKIPPED else None))
        scaler.step(optimizer)
        scaler.update()
    return _left(optimizer, params)


def _grads(check: Check, side: Side, step: int, infinite: int | None = None) -> list[Any]:
    drawn = tame(step, check.dtype, infinite=infinite, of_one_sign=grows(check))
    return [side.array(values, check.dtype) for values in drawn]


def _give(params: list[Any], grads: list[Any]) -> None:
    for param, grad in zip(params, grads):
        param.grad = grad


def _left(optimizer: Any, params: list[Any]) -> Outcome:
    found = {f"param {i}": left(param) for i, param in enumerate(params)}
    shared = optimizer._definition.shared
    for i, held in optimizer.state_dict()["state"].items():
        for name, value in held.items():
            one, close = left(torch.as_tensor(value)), IN_ANOTHER_ORDER * (name in shared)
            found[f"{name} of param {i}"] = one._replace(relative=close)
    return found
