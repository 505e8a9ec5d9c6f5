"""LLVM values that are scalars, or vectors of `WIDTH` consecutive elements.

An operation on scalars gives a scalar, so values that do not depend on the element are computed
once. An operation on a scalar and a vector broadcasts the scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

WIDTH = 16
"""Elements of a vector. LLVM splits it into the processor's own vectors."""

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT, DOUBLE, HALF = ir.FloatType(), ir.DoubleType(), ir.HalfType()
POINTER = ir.PointerType()


def vector(item: Any, width: int = WIDTH) -> Any:
    """Return the type of a vector."""
    return ir.VectorType(item, width)


def constant(like: Any, value: Any) -> Any:
    """Return a constant of the type ``like``, broadcast if that is a vector."""
    if isinstance(like, ir.VectorType):
        return ir.Constant(like, [value] * like.count)
    return ir.Constant(like, value)


def type_like(like: Any, item: Any) -> Any:
    """Return the type of ``item``, a vector if ``like`` is one."""
    return vector(item, like.count) if isinstance(like, ir.VectorType) else item


def splat(builder: Any, value: Any, width: int = WIDTH) -> Any:
    """Return a scalar broadcast to a vector; a vector unchanged."""
    if isinstance(value.type, ir.VectorType):
        return value
    if isinstance(value, ir.Constant):
        return ir.Constant(vector(value.type, width), [value.constant] * width)
    like = vector(value.type, width)
    one = builder.insert_element(ir.Constant(like, ir.Undefined), value, ir.Constant(I32, 0))
    zeros = ir.Constant(vector(I32, width), [0] * width)
    return builder.shuffle_vector(one, ir.Constant(like, ir.Undefined), zeros)


def broadcast(builder: Any, *values: Any) -> tuple[Any, ...]:
    """Return the values, broadcast to vectors if one of them is a vector."""
    widths = [v.type.count for v in values if isinstance(v.type, ir.VectorType)]
    return tuple(splat(builder, v, widths[0]) for v in values) if widths else values


def intrinsic(builder: Any, name: str, *operands: Any) -> Any:
    """Call an LLVM intrinsic on scalars or vectors of one type, which the result has, too."""
    like = operands[0].type
    full = f"llvm.{name}.{_suffix(like)}"
    kind = ir.FunctionType(like, [x.type for x in operands])
    return builder.call(builder.module.declare_intrinsic(full, fnty=kind), operands)


def halves(builder: Any, values: Any) -> list[Any]:
    """Return the first and the second half of a vector."""
    width = values.type.count // 2
    nothing = ir.Constant(values.type, ir.Undefined)
    return [
        builder.shuffle_vector(values, nothing, ir.Constant(vector(I32, width), list(places)))
        for places in (range(width), range(width, 2 * width))
    ]


def loop(builder: Any, first: Any, last: Any, body: Callable[[Any], None], step: int = 1) -> None:
    """Emit ``for i in range(first, last, step): body(i)``."""
    function, entered = builder.function, builder.block
    head, inner, after = (function.append_basic_block(n) for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(first, entered)
    builder.cbranch(builder.icmp_signed("<", i, last), inner, after)
    builder.position_at_end(inner)
    body(i)
    i.add_incoming(builder.add(i, constant(I64, step)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def _suffix(like: Any) -> str:
    if isinstance(like, ir.VectorType):
        return f"v{like.count}{like.element.intrinsic_name}"
    return str(like.intrinsic_name)


def convert(builder: Any, value: Any, number: Any) -> Any:
    """Convert floating-point values to another type, rounding to nearest."""
    target = type_like(value.type, number)
    sizes = [_bits(value.type), _bits(target)]
    if sizes[0] == sizes[1]:
        return value
    return (builder.fpext if sizes[0] < sizes[1] else builder.fptrunc)(value, target)


def _bits(like: Any) -> int:
    item = like.element if isinstance(like, ir.VectorType) else like
    return {"half": 16, "float": 32, "double": 64}[str(item)]


def bits_of(builder: Any, value: Any) -> Any:
    """Return the bits of float32 values."""
    return builder.bitcast(value, type_like(value.type, I32))


def float_of(builder: Any, bits: Any) -> Any:
    """Return the float32 values of bits."""
    return builder.bitcast(bits, type_like(bits.type, FLOAT))
