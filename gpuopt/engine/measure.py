"""The pass that computes the norm of all gradients, as an update that writes nothing."""

from __future__ import annotations

from .read_only_update import ReadOnlyUpdate
from .tail import Tail


def measure(g):  # type: ignore[no-untyped-def]  # a rule, like those of gpuopt.rules
    """Return the gradient, whose partials the backend computes."""
    return (g,)


def no_coefficients(step):  # type: ignore[no-untyped-def]  # as above
    """Return none."""
    return ()


class Measure(ReadOnlyUpdate):
    """An update that writes nothing and watches the gradients; see `update.Update`.

    Attributes:
        wants_sums: whether only sums are needed, not the largest values.
    """

    def __init__(self, wants_sums: bool) -> None:
        """Store whether only sums are needed."""
        self.wants_sums = wants_sums

    name = "measure"
    wants_counts = True
    lists = ("params", "grads")
    read = (1,)
    watched_names = ("gradient",)
    coefficient_names = ()
    carried_names = ()
    option_names = ()
    function = staticmethod(measure)
    coefficients_function = staticmethod(no_coefficients)


MEASURE = Measure(wants_sums=True)
"""The pass for clipping."""

MEASURE_ALL = Measure(wants_sums=False)
"""The pass for clipping and statistics."""


def measure_for(tail: Tail) -> Measure:
    """Return the pass that a tail needs."""
    return MEASURE_ALL if tail.stats else MEASURE
