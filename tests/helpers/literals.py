"""Rules called as they are, on the oldest NumPy, too."""

import numpy as np
from gpuopt.kernels.trace.retarget import retarget

WIDENS = np.lib.NumpyVersion(np.__version__) < "2.0.0"
"""Whether np.where makes a number beside one float32 a float64, as in NumPy 1."""


def as_written(function, number):
    """Return a function whose literals are of the dtype ``number`` where NumPy would widen them.

    gpuopt's own backend for NumPy makes them so, too.
    """
    return retarget(function, np, literal=np.dtype(number).type) if WIDENS else function
