"""Memory layouts of arrays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """The layout of an array in a larger buffer.

    Attributes:
        order: a sort key for the axes, from the largest stride to the smallest.
        step: the array has every step-th element of each axis of the buffer.
        margin: unused elements at both ends of each axis.
        flipped: whether strides are negative.
        shift: the offset of the buffer from a multiple of 64 bytes.
    """

    order: object = None
    step: int = 1
    margin: int = 0
    flipped: bool = False
    shift: int = 0


def _channels_last(axis):
    return {1: 9}.get(axis, axis)


LAYOUTS = {
    "C": Layout(),
    "F": Layout(order=lambda axis: -axis),
    "channels_last": Layout(order=_channels_last),
    "permuted": Layout(order=lambda axis: (axis + 2) % 4),
    "slice": Layout(step=2),
    "slice of F": Layout(order=lambda axis: -axis, step=3),
    "inside": Layout(margin=1),
    "reversed": Layout(flipped=True),
    "reversed slice": Layout(step=2, margin=1, flipped=True),
    "8 bytes off": Layout(shift=8),
    "1 byte off": Layout(shift=1),
    "F, 3 bytes off": Layout(order=lambda axis: -axis, shift=3),
}

DENSE = ("C", "F", "channels_last", "permuted", "8 bytes off")
"""The layouts that a table accepts: dense, with aligned elements."""


class Placed:
    """An array in a layout, with its buffer.

    Attributes:
        array: holds the values.
        memory: all bytes of the buffer.
    """

    def __init__(self, values, layout):
        """Copy ``values`` into a buffer of noise."""
        axes = sorted(range(values.ndim), key=layout.order or (lambda axis: axis))
        extents = [values.shape[a] * layout.step + 2 * layout.margin for a in axes]
        used = int(np.prod(extents, dtype=np.int64)) * values.itemsize
        noise = np.random.default_rng(used).integers(0, 256, used + 256, np.uint8)
        begin = -noise.ctypes.data % 64 + 64 + layout.shift
        part = slice(layout.margin, None, layout.step)
        place = np.ndarray(extents, values.dtype, noise, begin)
        place = place[(..., *(part for _ in axes))].transpose(np.argsort(axes))
        place = place[(..., *(slice(0, extent) for extent in values.shape))]
        self.memory = noise
        backwards = slice(None, None, -1 if layout.flipped else 1)
        self.array = place[(..., *(backwards for _ in axes))]
        self.array[...] = values
        self._before = noise.copy()

    def assert_only_the_array_changed(self, what=""):
        """Fail if a byte outside the elements changed."""
        array, expected = self.array, self._before.copy()
        if array.size:
            offset = array.__array_interface__["data"][0] - self.memory.ctypes.data
            np.ndarray(array.shape, array.dtype, expected, offset, array.strides)[...] = array
        assert (self.memory == expected).all(), f"{what}: bytes around the array changed"
