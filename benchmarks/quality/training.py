"""One training: from a seed to the loss at its end."""

from __future__ import annotations

from math import isfinite, nan
from typing import Any

from ..buffers import import_torch
from .methods import Method, Storage
from .tasks import Task, loss


def trained(task: Task, method: Method, storage: Storage, seed: int, steps: int) -> float:
    """Return the loss after training; NaN if it is not finite.

    Raises:
        Unavailable: the peer is not installed, or has no such optimizer.
    """
    torch = import_torch()
    torch.manual_seed(seed)
    model = task.model()
    copies = list(model.parameters())
    weights = [_weight(p, storage.weights) for p in copies]
    optimizer = storage.make(method, weights)
    for inputs, labels in task.batches(seed, steps):
        model.zero_grad()
        loss(model, inputs, labels).backward()
        for weight, copy in zip(weights, copies, strict=True):
            weight.grad = copy.grad.to(weight.dtype)
        optimizer.step()
        storage.after(optimizer)
        with torch.no_grad():
            for weight, copy in zip(weights, copies, strict=True):
                if weight is not copy:
                    copy.copy_(weight)
    with torch.no_grad():
        final = float(loss(model, *task.judged()))
    return final if isfinite(final) else nan


def _weight(param: Any, dtype: str) -> Any:
    """Return the parameter itself, or a copy in another dtype."""
    torch = import_torch()
    wanted = getattr(torch, dtype)
    return param if param.dtype == wanted else torch.nn.Parameter(param.detach().to(wanted))
