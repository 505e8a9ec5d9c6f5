"""The update rules, each written once as a pure NumPy function of a few lines.

An update takes one element or a whole array and works on either; each backend compiles this
very function. It uses only exactly rounded operations (+ - *, np.divide, np.sqrt, np.maximum,
np.minimum, np.abs, np.where, comparisons), so that every backend gives the same bits.

Everything that is the same for a whole tensor is a coefficient: computed by the function
below each update, in float64, from the step count and the hyperparameters, and rounded once.
So are the few numbers that a tensor carries from step to step besides its step count.

No finite gradient gives NaN. Where its square overflows (from 1.8e19 on, in float32), the average
of squares is infinite from there on, as in torch, and the element no longer moves (except in
RAdam's first steps, which do not divide by it). As in torch, NaN appears only if a parameter, a
momentum buffer or an average of gradients has itself overflowed, or a gradient does so after decay
and scaling; if eps is 0 and all gradients were 0; or if a decay rate is 0 and a square is infinite.

There is one module for each optimizer, with its rules, options and docstring. All modules of this
package are imported; a new one needs no entry anywhere.
"""

from importlib import import_module
from pkgutil import iter_modules

from .powers import power, real_power

__all__ = ["power", "real_power"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
