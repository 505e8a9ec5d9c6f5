"""The arguments of torch's optimizers that are not hyperparameters."""

from __future__ import annotations

FLAGS = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
"""The arguments that select torch's implementation of a step, with their defaults."""

ADDED_FLAGS = {"maximize": False, **FLAGS}
"""The options that torch adds to groups saved before it had them."""
