"""The update rules, each written once as a pure NumPy function of a few lines.

An update works on one element or on a whole array; each backend compiles this same function. It
uses only correctly rounded operations (+ - *, np.divide, np.sqrt, np.maximum,
np.minimum, np.abs, np.where, comparisons), so that every backend gives the same bits.

Everything that is the same for a whole tensor is a coefficient: the function below each update
computes it in float64 from the step count and the hyperparameters, and it is rounded once. The same
function computes the few scalars that a tensor carries from step to step.

Finite gradients never give NaN. If a square overflows (above 1.8e19, in float32), the average of
squares stays infinite, as in torch, and the element stops moving (except in RAdam's first steps,
which do not divide by it). As in torch, NaN appears only if a parameter, a momentum buffer or an
average of gradients itself overflows, or a gradient does after decay and scaling; if eps is 0 and
all gradients were 0; or if a decay rate is 0 and a square is infinite.

Each optimizer has a module, with its rules, options and docstring. All modules of this package are
imported; a new one does not have to be registered anywhere.
"""

from importlib import import_module
from pkgutil import iter_modules

from .powers import power, real_power

__all__ = ["power", "real_power"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
