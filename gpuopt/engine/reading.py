"""What passes that write nothing have in common as updates."""

from __future__ import annotations


class Reading:
    """An update that writes nothing, and finds partials of what it watches.

    `kernels.table.Update` says what the attributes mean.
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
