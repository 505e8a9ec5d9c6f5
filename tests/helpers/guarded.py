"""Memory before a protected page: an access beyond its end crashes."""

import ctypes
import mmap

import numpy as np

_C = ctypes.CDLL(None, use_errno=True)
_NOTHING, _READ = 0, 1  # PROT_NONE, PROT_READ


def at_the_end(array, *, read_only=False):
    """Return a copy of an array, read-only or not, whose end is followed by a protected page."""
    pages = -(-max(array.nbytes, 1) // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    end = pages * mmap.PAGESIZE
    place = whole[end - array.nbytes : end].view(array.dtype).reshape(array.shape)
    place[...] = array
    _protect(whole.ctypes.data + end, mmap.PAGESIZE, _NOTHING)
    if read_only:
        _protect(whole.ctypes.data, end, _READ)
    return place


def _protect(address, size, how):
    status = _C.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), how)
    assert status == 0, ctypes.get_errno()
