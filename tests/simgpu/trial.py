"""Kernels that show what launching does: the first of a process is `add_one`."""

import triton.language as tl


def add_one(pointer):
    """Add 1.0 to a float32."""
    tl.store(pointer, tl.load(pointer) + 1.0)


def sum_of_all(pointer, BLOCK: tl.constexpr):
    """Add up some float32, for which the threads exchange theirs."""
    places = pointer + tl.arange(0, BLOCK)
    tl.store(pointer, tl.sum(tl.load(places), 0))


def add_together(pointer):
    """Add 1.0 to a float32, whoever else does it; the device cannot."""
    tl.atomic_add(pointer, 1.0)
