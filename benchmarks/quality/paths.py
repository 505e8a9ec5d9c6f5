"""The paths of optimizers down an elongated bowl, with noisy gradients."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, radians, sin
from typing import Any

import numpy as np
import numpy.typing as npt

import gpuopt
from gpuopt.demo import modes
from gpuopt.rules.definitions import Definition

from .grid import rate_of

STEPS, SEEDS, NOISE = 100, 4, 2.0
START, LOWEST_AT = (-1.6, 0.2), (1.0, 1.0)
CURVATURES, TURNED = (1.0, 30.0), 25.0
"""The curvatures along the bowl's axes, and the angle of the flat axis."""

RATES = tuple(map(rate_of, range(-8, 5)))
"""The learning rates to try, from 0.0001 to 100."""

Array = npt.NDArray[np.float64]

_AXES = np.array([[cos(a), sin(a)] for a in (radians(TURNED), radians(TURNED + 90.0))])
HESSIAN: Array = (_AXES.T * CURVATURES) @ _AXES


def height(x: Any, y: Any) -> Any:
    """Return the bowl's height."""
    away = np.stack([x - LOWEST_AT[0], y - LOWEST_AT[1]], axis=-1)
    return 0.5 * np.einsum("...i,ij,...j", away, HESSIAN, away)


@dataclass(frozen=True)
class Descent:
    """A path from the start.

    Attributes:
        lr: the learning rate.
        points: the point after each step; schedule-free optimizers are evaluated in eval mode.
    """

    lr: float
    points: Array

    @property
    def mean_height(self) -> float:
        """The mean over the second half of the steps; infinity for a path that diverges."""
        mean = float(np.mean(height(*self.points[STEPS // 2 :].T)))
        return mean if np.isfinite(mean) else inf


def descent(definition: Definition, lr: float, seed: int) -> Descent:
    """Return the path with a learning rate, and all other options at their defaults."""
    noise = np.random.default_rng(seed)
    point = np.array([START])  # a matrix: some rules treat vectors differently
    opt = getattr(gpuopt, definition.name)([point], lr=lr)
    points = [point.copy()]
    for step in range(STEPS):
        modes.train(opt)
        if "update_hessian" in definition.passes and step % modes.HESSIAN_EVERY == 0:
            opt.bs = 1.0
            opt.update_hessian([np.sqrt(np.diag(HESSIAN))[None]])
        slope = (point - LOWEST_AT) @ HESSIAN
        opt.step([slope + NOISE * noise.standard_normal(point.shape)])
        modes.evaluate(opt)
        points.append(point.copy())
    return Descent(lr, np.concatenate(points))


def best_descent(definition: Definition) -> Descent:
    """Return the first seed's path, with the rate that ends lowest on average over the seeds."""

    def mean_height(lr: float) -> float:
        return sum(descent(definition, lr, seed).mean_height for seed in range(SEEDS))

    with np.errstate(all="ignore"), gpuopt.use_backend("numpy"):  # the same bits as any other
        return descent(definition, min(RATES, key=mean_height), 0)
