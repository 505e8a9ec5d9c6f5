"""The arguments of torch's optimizers that are not hyperparameters."""

from __future__ import annotations

FLAGS = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
"""The arguments of torch's optimizers that say how torch does a step, with their defaults."""

ADDED_FLAGS = {"maximize": False, **FLAGS}
"""What torch adds to groups that were saved before its optimizers had it."""
