"""Leave inference mode in a step: inference tensors could not be changed outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def ordinary(lock: AbstractContextManager[Any] | None = None) -> AbstractContextManager[Any]:
    """Return a context in which new tensors are ordinary ones, not inference tensors.

    Args:
        lock: is acquired inside the context, if given.
    """
    lock = nullcontext() if lock is None else lock
    return _without_inference_mode(lock) if torch.is_inference_mode_enabled() else lock


@contextmanager
def _without_inference_mode(lock: AbstractContextManager[Any]) -> Iterator[None]:
    # no_grad, since inference_mode(False) enables gradients.
    with lock, torch.inference_mode(False), torch.no_grad():
        yield
