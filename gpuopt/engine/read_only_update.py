"""The base class of passes that write nothing, in the form of updates."""

from __future__ import annotations


class ReadOnlyUpdate:
    """An update that writes nothing, and computes partials of the values it watches.

    `kernels.table.Update` describes the attributes.
    """

    written = ()
    blocked: tuple[tuple[int, int], ...] = ()
    random_streams = ()
    encode_function = None
    encode_streams = ()
    encode_coefficients = ()
    sums = None
    totals = None
    n_plain = 0
