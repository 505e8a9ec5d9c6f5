"""The norm of all gradients: what is compiled to find it, and what follows from it."""

from __future__ import annotations


def measure(g):  # type: ignore[no-untyped-def]  # a rule, like those of gpuopt.rules
    """Write nothing; the gradient itself is watched."""
    return (g,)


def no_coefficients(step):  # type: ignore[no-untyped-def]
    return ()


class Measure:
    """An update that changes nothing and watches the gradients; see `compose.Update`."""

    name = "measure"
    lists = ("params", "grads")
    read = (1,)
    written = ()
    watched_names = ("gradient",)
    counts_elements = False
    coefficient_names = ()
    carried_names = ()
    option_names = ()
    function = staticmethod(measure)
    coefficients_function = staticmethod(no_coefficients)


MEASURE = Measure()
