"""The scales of blocks of elements in the compiled loops.

A block is one vector for LLVM: a loop over so few elements is unrolled, and not vectorized.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..storage import BLOCK, LEAST_SCALE, NO_SCALE
from .maths import jit, where

_BITS = ir.VectorType(ir.IntType(32), BLOCK)


def _address_of(builder: Any, pointer: Any, first: Any) -> Any:
    """Return the address of the block that begins with an element."""
    return builder.bitcast(builder.gep(pointer, [first]), _BITS.as_pointer())


@intrinsic
def _fill_block(typing: Any, target: Any, first: Any, bits: Any) -> Any:
    """Write 32 bits to each element of a block."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(_BITS, ir.Undefined), args[2], _zero(0))
        vector = builder.shuffle_vector(one, ir.Constant(_BITS, ir.Undefined), _zeros())
        builder.store(vector, _address_of(builder, args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.uint32), codegen


@intrinsic
def _largest_of_block(typing: Any, values: Any, first: Any) -> Any:
    """Return the bits of the largest absolute value of a block; those of a NaN are larger."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.load(_address_of(builder, args[0], args[1]), align=4)
        sign = ir.Constant(_BITS, [0x7FFFFFFF] * BLOCK)
        name = f"llvm.vector.reduce.umax.v{BLOCK}i32"
        reduce = builder.module.declare_intrinsic(
            name, fnty=ir.FunctionType(ir.IntType(32), [_BITS])
        )
        return builder.call(reduce, [builder.and_(bits, sign)])

    return types.uint32(values, types.int64), codegen


def _zero(value: int) -> Any:
    return ir.Constant(ir.IntType(32), value)


def _zeros() -> Any:
    return ir.Constant(_BITS, [0] * BLOCK)


@jit
def spread(scales: Any, count: Any, target: Any) -> None:
    """Write the scale of each of ``count`` elements, and of the rest of the last block."""
    for first in range(0, count, BLOCK):
        _fill_block(target, first, np.float32(scales[first // BLOCK]).view(np.uint32))


@jit
def measure(values: Any, count: Any, scales: Any) -> None:
    """Write the largest absolute value of each block; the rest of the last one is set to zero.

    It is at least `LEAST_SCALE`, and NaN from `NO_SCALE` on.
    """
    for i in range(count, -(-count // BLOCK) * BLOCK):
        values[i] = np.float32(0.0)
    for first in range(0, count, BLOCK):
        scale = np.uint32(_largest_of_block(values, first)).view(np.float32)
        least = where(scale > LEAST_SCALE, scale, LEAST_SCALE)
        scales[first // BLOCK] = where(scale < NO_SCALE, least, np.float32(np.nan))
