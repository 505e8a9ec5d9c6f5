"""Which memory the launches may touch, and how often they did."""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

_allowed = ContextVar("allowed", default=None)


@dataclass
class Region:
    """Some bytes at an address.

    Attributes:
        address: of the first.
        size: how many.
        writable: whether a kernel may write them.
        loads: how often each was loaded, up to 255; None where nobody counts.
        stores: how often each was stored.
    """

    address: int
    size: int
    writable: bool = True
    loads: np.ndarray | None = field(default=None, repr=False)
    stores: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def of(cls, array, writable=True, counted=False):
        """Return the region of a dense array of NumPy or torch."""
        address = array.data_ptr() if hasattr(array, "data_ptr") else array.ctypes.data
        region = cls(address, array.nbytes, writable)
        if counted:
            region.loads, region.stores = np.zeros((2, array.nbytes), np.uint8)
        return region


@contextmanager
def only(regions):
    """Let launches touch these regions and nothing else, until the block ends."""
    before = _allowed.set(list(regions))
    try:
        yield
    finally:
        _allowed.reset(before)


def allowed():
    """Return the regions that may be touched; None: there is no limit."""
    return _allowed.get()
