"""Statistics of each tensor, from the partials of its update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class TensorStats(NamedTuple):
    """Statistics of one tensor at the optimizer's last step; 0 if it had no gradient.

    Norms are 2-norms. The gradient is unscaled, before clipping. The update is the change of the
    parameter, and the parameter is the one after the update, both as stored (or the master weights,
    if there are any). Largest values are absolute, ignoring NaN; nonfinite elements are infinite or
    NaN. A complex element counts as two.
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
        partials: [3, 3]; the `kernels.table.PARTIALS` of the gradient, the update and the
            parameter.
        grad_factor: the factor that unscales the gradient.
    """
    factors = (abs(grad_factor), 1.0, 1.0)
    values: list[Any] = []
    for (squares, largest, others), factor in zip(partials.tolist(), factors):
        values += [math.sqrt(squares) * factor, largest * factor, int(others)]
    return TensorStats(*values)


def together(stats: Sequence[TensorStats]) -> TensorStats:
    """Return the combined statistics of several tensors.

    >>> a = TensorStats(3.0, 3.0, 0, 0.3, 0.3, 0, 1.0, 1.0, 0)
    >>> b = TensorStats(4.0, 2.0, 1, 0.4, 0.2, 0, 1.0, 2.0, 0)
    >>> together([a, b])[:3]
    (5.0, 3.0, 1)
    """
    columns = list(zip(*stats))
    ways = (lambda norms: math.hypot(*norms), max, sum)
    values: list[Any] = [ways[i % 3](column) for i, column in enumerate(columns)]
    return TensorStats(*values)
