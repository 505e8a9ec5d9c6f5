"""One training run, from a seed to the final loss."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import Any

from gpuopt.demo import modes

from ..buffers import import_torch
from .methods import Method, Storage
from .tasks import Task, loss


def trained(task: Task, method: Method, storage: Storage, seed: int, steps: int) -> float:
    """Return the loss after training; NaN if it is not finite.

    Schedule-free optimizers are trained in train mode and evaluated in eval mode. SophiaG estimates
    the Hessian every `modes.HESSIAN_EVERY` steps.

    Raises:
        Unavailable: the peer is not installed, or has no such optimizer.
    """
    torch = import_torch()
    torch.manual_seed(seed)
    model = task.model()
    drawing = torch.Generator().manual_seed(seed)
    copies = list(model.parameters())
    weights = [_weight(p, storage.weights) for p in copies]
    optimizer = storage.make(method, weights)
    modes.train(optimizer)
    for step, (inputs, labels) in enumerate(task.batches(seed, steps)):
        if step % modes.HESSIAN_EVERY == 0 and hasattr(optimizer, "update_hessian"):
            _backward(model, inputs, _drawn(model, inputs, drawing), weights)
            for group in optimizer.param_groups:
                group["bs"] = labels.numel()
            optimizer.update_hessian()
        _backward(model, inputs, labels, weights)
        optimizer.step()
        storage.after(optimizer)
        _load(weights, copies)
    modes.evaluate(optimizer)
    _load(weights, copies)
    with torch.no_grad():
        final = float(loss(model, *task.judged()))
    return final if isfinite(final) else nan


def _weight(param: Any, dtype: str) -> Any:
    """Return the parameter itself, or a copy in another dtype."""
    torch = import_torch()
    wanted = getattr(torch, dtype)
    return param if param.dtype == wanted else torch.nn.Parameter(param.detach().to(wanted))


def _drawn(model: Any, inputs: Any, generator: Any) -> Any:
    """Return labels sampled from the model's own predictions."""
    torch = import_torch()
    with torch.no_grad():
        chances = model(inputs).softmax(-1)
    drawn = torch.multinomial(chances.flatten(0, -2), 1, generator=generator)
    return drawn.reshape(chances.shape[:-1])


def _backward(model: Any, inputs: Any, labels: Any, weights: Sequence[Any]) -> None:
    """Compute the gradients of the loss for the weights."""
    model.zero_grad()
    loss(model, inputs, labels).backward()
    for weight, copy in zip(weights, model.parameters(), strict=True):
        weight.grad = copy.grad.to(weight.dtype)


def _load(weights: Sequence[Any], copies: Sequence[Any]) -> None:
    """Copy weights of another dtype into a model's parameters."""
    with import_torch().no_grad():
        for weight, copy in zip(weights, copies, strict=True):
            if weight is not copy:
                copy.copy_(weight)
