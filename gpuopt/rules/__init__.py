"""The maths: every update rule, once, as a pure NumPy function of a few lines.

An update takes one element or a whole array and works on either; each backend compiles this
very function. It uses only exactly rounded operations (+ - *, np.divide, np.sqrt, np.maximum,
np.minimum, np.abs, np.where, comparisons), so that every backend gives the same bits.

Everything that is the same for a whole tensor is a coefficient: computed by the function
below each update, in float64, from the step count and the hyperparameters, and rounded once.
So are the few numbers that a tensor carries from step to step beside its step count.

No finite gradient gives NaN. Where its square overflows (from 1.8e19 on, in float32), the average
of squares is infinite from there on, as in torch, and the element no longer moves (RAdam's first
steps divide by no such average). NaN takes one of these, as it does in torch: a parameter, a
momentum buffer or an average of gradients that has itself overflowed, or a gradient that does so
behind decay and scale; eps = 0 where all gradients were 0; a decay rate of 0 for infinite squares.

There is one file for each optimizer: its rules, its options, and what its docstring says. A new
file is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from .powers import power, real_power

__all__ = ["power", "real_power"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
