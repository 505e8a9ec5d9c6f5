"""The path of each optimizer down a curved valley, with the same bits on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import gpuopt
from gpuopt.rules.definitions import Definition

STEPS = 100
START = (-1.5, -0.6)
RATES = tuple(c * 10.0**e for e in range(-4, 2) for c in (1, 3))
"""The learning rates that are tried, from 0.0001 to 30."""

Array = np.ndarray


def height(x: Array, y: Array) -> Array:
    """Return Rosenbrock's function with 5 instead of 100: a valley with its minimum at (1, 1)."""
    return (1.0 - x) ** 2 + 5.0 * (y - x**2) ** 2


def slope(at: Array) -> Array:
    """Return its gradient at points, in the last axis."""
    x, y = at[..., 0], at[..., 1]
    inner = y - x**2
    return np.stack([2.0 * (x - 1.0) - 20.0 * x * inner, 10.0 * inner], axis=-1)


def curvature(at: Array) -> Array:
    """Return the diagonal of its Hessian at points, in the last axis."""
    x, y = at[..., 0], at[..., 1]
    return np.stack([2.0 - 20.0 * (y - 3.0 * x**2), np.full_like(x, 10.0)], axis=-1)


@dataclass(frozen=True)
class Descent:
    """A path from the start.

    Attributes:
        lr: the learning rate.
        points: the parameters after each step; of schedule-free optimizers, as `eval` makes them.
    """

    lr: float
    points: Array

    @property
    def heights(self) -> Array:
        """The function's value at each point."""
        return height(*self.points.T)

    @property
    def mean_height(self) -> float:
        """The mean over the second half of the steps; infinity for a path that diverges."""
        mean = float(np.mean(self.heights[STEPS // 2 :]))
        return mean if np.isfinite(mean) else np.inf


def best_descent(definition: Definition) -> Descent:
    """Return the path of an optimizer's defaults with the learning rate that ends lowest."""
    with np.errstate(all="ignore"):  # some rates diverge
        return min(descents(definition), key=lambda found: found.mean_height)


def descents(definition: Definition) -> list[Descent]:
    """Return the paths of an optimizer with its defaults and each learning rate."""
    points = [np.array([START]) for _ in RATES]  # matrices: some rules treat vectors differently
    groups = [{"params": [point], "lr": lr} for point, lr in zip(points, RATES)]
    make = getattr(gpuopt, definition.name)
    apart = definition.shared  # groups that share an estimate have one learning rate
    opts = [make([group]) for group in groups] if apart else [make(groups)]
    seen = [np.array(points)]
    for _ in range(STEPS):
        for i, opt in enumerate(opts):
            _step(opt, definition, points[i : i + 1] if apart else points)
        seen.append(np.array(points))
    return [Descent(lr, path) for lr, path in zip(RATES, np.array(seen)[:, :, 0].swapaxes(0, 1))]


def _step(opt: gpuopt.Optimizer, definition: Definition, points: Sequence[Array]) -> None:
    if "train" in definition.passes:
        opt.train()
    if "update_hessian" in definition.passes:
        opt.update_hessian([[np.sqrt(np.maximum(curvature(p), 0.0) / opt.bs)] for p in points])
    opt.step([[slope(point)] for point in points])
    if "eval" in definition.passes:
        opt.eval()
