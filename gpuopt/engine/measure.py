"""The norm of all gradients: what is compiled to find it, and what follows from it."""

from __future__ import annotations

from .tail import Tail


def measure(g):  # type: ignore[no-untyped-def]  # a rule, like those of gpuopt.rules
    """Write nothing; the gradient itself is watched."""
    return (g,)


def no_coefficients(step):  # type: ignore[no-untyped-def]  # as above
    """There are none."""
    return ()


class Measure:
    """An update that changes nothing and watches the gradients; see `compose.Update`.

    Attributes:
        wants_sums: whether the largest values do not matter.
    """

    def __init__(self, wants_sums: bool) -> None:
        """Choose what is wanted."""
        self.wants_sums = wants_sums

    name = "measure"
    lists = ("params", "grads")
    read = (1,)
    written = ()
    watched_names = ("gradient",)
    random_streams = ()
    coefficient_names = ()
    carried_names = ()
    option_names = ()
    function = staticmethod(measure)
    coefficients_function = staticmethod(no_coefficients)


MEASURE = Measure(wants_sums=True)
"""For clipping."""

MEASURE_ALL = Measure(wants_sums=False)
"""For statistics, too."""


def measure_for(tail: Tail) -> Measure:
    """Return what finds the norm that a tail needs."""
    return MEASURE_ALL if tail.stats else MEASURE
