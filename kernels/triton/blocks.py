"""Blocks that share a scale, in Triton: the rows of tiles with 32 columns."""

from __future__ import annotations

import triton
import triton.language as tl

from ..storage import LEAST_SCALE, NO_SCALE
from .interpreted import INTERPRETED

_INTERPRETED = tl.constexpr(INTERPRETED)

_LEAST_SCALE, _NO_SCALE = tl.constexpr(float(LEAST_SCALE)), tl.constexpr(float(NO_SCALE))

_STORE = tl.constexpr("st.global.f32 [$1], $2; mov.b32 $0, 0;")

_STORE_IF = tl.constexpr(f"@$3 {_STORE.value}")


@triton.jit
def lanes_of(BLOCK: tl.constexpr, TILED: tl.constexpr):
    """Return the offsets of an iteration: a vector, or a tile whose rows are blocks."""
    if TILED:
        return 32 * tl.arange(0, BLOCK // 32)[:, None] + tl.arange(0, 32)[None, :]
    else:
        return tl.arange(0, BLOCK)


@triton.jit
def first_of_list(begin, i: tl.constexpr, FIRST_SCALE: tl.constexpr):
    """Return the start of a chunk in a list; the last lists have a scale per 32 elements."""
    if i >= FIRST_SCALE:
        return begin // 32
    else:
        return begin


@triton.jit
def _places(pointer, first, end, shape):
    """Return pointers to the scales of a tile's rows, and the mask of rows that exist."""
    row = tl.arange(0, shape[0])
    return pointer + (first // 32 + row), first + 32 * row < end


@triton.jit
def load_scales(pointer, first, end, shape, MASKED: tl.constexpr):
    """Return the scale of each element of a tile, whose rows are blocks."""
    place, present = _places(pointer, first, end, shape)
    if MASKED:
        scales = tl.load(place, mask=present, other=0.0)
    else:
        scales = tl.load(place)
    return tl.broadcast_to(scales[:, None], shape)


@triton.jit
def _store_scales(pointer, first, end, scale, shape, MASKED: tl.constexpr):
    """Store the scales of the rows of a tile.

    All threads of a row store its scale, which is one write of the warp. ``tl.store`` first moves
    each to one thread, through shared memory: four barriers, and 30 more registers per thread.
    """
    place, present = _places(pointer, first, end, shape)
    if _INTERPRETED:
        tl.store(place, scale, mask=present)
    elif MASKED:
        given = [place.to(tl.int64), scale, present]
        tl.inline_asm_elementwise(_STORE_IF, "=r,l,f,b", given, tl.int32, is_pure=False, pack=1)
    else:
        given = [place.to(tl.int64), scale]
        tl.inline_asm_elementwise(_STORE, "=r,l,f", given, tl.int32, is_pure=False, pack=1)


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def encoded(
    pointers,
    first,
    end,
    mask,
    results,
    element,
    key,
    MASKED: tl.constexpr,
    ENCODE: tl.constexpr,
    CODED: tl.constexpr,
    STREAMS: tl.constexpr,
):
    """Return the results with codes in place of states, and store the scales of their blocks.

    Each entry of ``CODED`` is the index of a result, and the list of its scales.
    """
    states, spread = (), ()
    for i in tl.static_range(len(CODED)):
        x = results[CODED[i][0]]
        own = tl.abs(x)
        if MASKED:
            own = tl.where(mask, own, 0.0)
        largest = tl.reduce(own, 1, _larger)
        scale = tl.where(largest < _NO_SCALE, tl.maximum(largest, _LEAST_SCALE), float("nan"))
        _store_scales(pointers[CODED[i][1]], first, end, scale, x.shape, MASKED)
        states = states + (x,)
        spread = spread + (tl.broadcast_to(scale[:, None], x.shape),)
    elements = ()
    for i in tl.static_range(len(STREAMS)):
        elements = elements + ((element[0], element[1], STREAMS[i]),)
    codes = ENCODE(*states, *spread, *elements, *key)
    found = ()
    for i in tl.static_range(len(results)):
        result = results[i]
        for k in tl.static_range(len(CODED)):
            if CODED[k][0] == i:
                result = codes[k]
        found = found + (result,)
    return found
