"""Inference mode, which an optimizer leaves: what is made there can be changed nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def ordinary(lock: AbstractContextManager[Any] | None = None) -> AbstractContextManager[Any]:
    """Return a context, with the lock held if one is given, that makes ordinary tensors."""
    lock = nullcontext() if lock is None else lock
    return _left(lock) if torch.is_inference_mode_enabled() else lock


@contextmanager
def _left(lock: AbstractContextManager[Any]) -> Iterator[None]:
    with lock, torch.inference_mode(False), torch.no_grad():  # the first lets gradients in again
        yield
