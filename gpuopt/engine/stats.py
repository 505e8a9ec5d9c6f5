"""What a step can say of each tensor, from sums and maxima of its own pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class TensorStats(NamedTuple):
    """Of one tensor at the optimizer's last step; 0 before the first, and where a tensor rested.

    Norms are 2-norms. The gradient counts as it came in, unscaled, before any clipping; the update
    is what was added to the parameter, which is meant as it was after it: both as they are stored
    (with master weights, those). Largest values are absolute, of the elements that are not NaN;
    counted are the elements that are infinite or NaN. A complex element is two.
    """

    grad_norm: float
    grad_max: float
    grad_nonfinite: int
    update_norm: float
    update_max: float
    update_nonfinite: int
    param_norm: float
    param_max: float
    param_nonfinite: int


def stats_of(partials: npt.NDArray[np.float64], grad_factor: float) -> TensorStats:
    """Return the statistics of a tensor.

    Args:
        partials: [3, 3]; for the gradient, the update and the parameter what
            `kernels.table.PARTIALS` says.
        grad_factor: what unscales the gradient.
    """
    factors = (abs(grad_factor), 1.0, 1.0)
    values: list[Any] = []
    for (squares, largest, others), factor in zip(partials.tolist(), factors):
        values += [math.sqrt(squares) * factor, largest * factor, int(others)]
    return TensorStats(*values)


def together(stats: Sequence[TensorStats]) -> TensorStats:
    """Return the statistics of several tensors as those of one.

    >>> a = TensorStats(3.0, 3.0, 0, 0.3, 0.3, 0, 1.0, 1.0, 0)
    >>> b = TensorStats(4.0, 2.0, 1, 0.4, 0.2, 0, 1.0, 2.0, 0)
    >>> together([a, b])[:3]
    (5.0, 3.0, 1)
    """
    columns = list(zip(*stats))
    ways = (lambda norms: math.hypot(*norms), max, sum)
    values: list[Any] = [ways[i % 3](column) for i, column in enumerate(columns)]
    return TensorStats(*values)
