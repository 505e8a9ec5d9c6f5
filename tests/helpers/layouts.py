"""Every way in which an array can lie in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Where the elements of an array lie in a larger buffer.

    Attributes:
        order: the axes from the one with the largest stride to the one with the smallest, as a
            sort key of the axes' numbers.
        step: every which element of each axis of the buffer belongs to the array.
        margin: elements left free on both ends of each axis.
        flipped: whether the axes run backwards.
        shift: bytes between an address that is a multiple of 64 and the buffer.
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
"""The layouts that a table takes: aligned elements that fill their memory in some order."""


class Placed:
    """An array in a layout, and all of the memory around it.

    Attributes:
        array: holds the values.
        memory: every byte of the buffer.
    """

    def __init__(self, values, layout):
        """Copy ``values`` into a buffer full of noise."""
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
        """Fail if a byte that belongs to no element is not what it was."""
        array, expected = self.array, self._before.copy()
        if array.size:
            offset = array.__array_interface__["data"][0] - self.memory.ctypes.data
            np.ndarray(array.shape, array.dtype, expected, offset, array.strides)[...] = array
        assert (self.memory == expected).all(), f"{what}: bytes around the array changed"
