"""What PTX says that an instruction computes, by NumPy and Python's integers and fractions."""

import math
import operator
from fractions import Fraction

import ml_dtypes
import numpy as np

from .translate import width

_FLOAT = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
_ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
_COMPARED = {n: getattr(operator, n) for n in ("eq", "ne", "lt", "le", "gt", "ge")}


def typed(bits, kind):
    """Return an array of bits as one of a type."""
    if kind in _FLOAT:
        return bits.view(_FLOAT[kind])
    return bits.view(f"i{bits.itemsize}") if kind.startswith("s") else bits


def expected(opcode, bits, kinds, result):
    """Return the bits of an instruction's results on arrays of bits.

    Args:
        opcode: with its modifiers.
        bits: the operands.
        kinds: their types.
        result: the type of the result.
    """
    name, *modifiers = opcode.split(".")
    values = [typed(b, k) for b, k in zip(bits, kinds)]
    with np.errstate(all="ignore"):
        if modifiers[-1] in _FLOAT or "f32x2" in modifiers or "x2" in opcode:
            found = _floats(name, modifiers, values, bits)
        elif modifiers[0] in ("rzi", "rn"):
            found = _between(modifiers, values[0])
        else:
            found = _integers(name, modifiers, values, width(result))
    return _bits(np.asarray(found), result)


def _bits(found, result):
    """Return values as the bits of a type: integers wrap around, a predicate is 0 or 1."""
    if found.dtype == object:
        size = 32 if result == "pred" else width(result)
        return np.array([int(v) % 2**size for v in found], f"u{size // 8}")
    if found.dtype == bool:
        return found.astype(np.uint32)
    return found.view(f"u{found.dtype.itemsize}")


# --- floats --------------------------------------------------------------------------------------


def _floats(name, modifiers, values, bits):
    kind = modifiers[-1]
    if name == "abs" and "f16" in kind:
        return bits[0] & bits[0].dtype.type(0x7FFF if kind in _FLOAT else 0x7FFF7FFF)
    if kind == "f32x2":
        return _ARITHMETIC[name](*(b.view(np.float32) for b in bits)).view(np.uint64)
    if name == "cvt":
        return _converted(modifiers, values)
    if name == "setp":
        typed_values = [typed(b, kind) for b in bits] if "f16" in kind else values
        return _compared(modifiers[0], *typed_values)
    if name in ("mov", "selp"):
        return np.where(bits[2] != 0, *bits[:2]) if name == "selp" else bits[0]
    if name in ("max", "min"):
        return _extreme(name, *values, "NaN" in modifiers)
    if kind in ("f16", "bf16"):  # beside a float32
        values = [typed(bits[0], kind).astype(np.float32), values[1]]
        kind = "f32"
    return _arithmetic(name, values, kind)


def _arithmetic(name, values, kind):
    if name == "fma":
        rows = zip(*(v.tolist() for v in values))
        return np.array([_fused(*row, _FLOAT[kind]) for row in rows], _FLOAT[kind])
    if name in _ARITHMETIC:
        return _ARITHMETIC[name](*values)
    others = {"sqrt": np.sqrt, "rcp": np.reciprocal, "abs": np.abs, "neg": np.negative}
    return others[name](*values)


def _fused(a, b, c, kind):
    """Return a * b + c, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return _nearest(exact, kind) if exact else a * b + c  # which knows the sign of zero


def _nearest(exact, kind):
    """Return the number of a type that is nearest to a fraction; of two, the even one."""
    try:
        wide = float(exact)
    except OverflowError:
        return kind(math.inf if exact > 0 else -math.inf)
    if kind is np.float64 or wide == exact:
        return kind(wide)
    if abs(wide) > abs(exact):  # an odd number below stands for all that lies between two
        wide = math.nextafter(wide, 0.0)
    return (np.array(wide).view(np.uint64) | np.uint64(1)).view(np.float64).astype(kind)


def _extreme(name, a, b, propagate):
    number = {"max": np.fmax, "min": np.fmin}[name](a, b)
    negative = np.signbit(a) & np.signbit(b) if name == "max" else np.signbit(a) | np.signbit(b)
    zero = np.where(negative, -0.0, 0.0).astype(a.dtype)
    number = np.where((a == 0) & (b == 0), zero, number)
    nan = np.isnan(a) | np.isnan(b)
    return np.where(nan, a + b, number) if propagate else number


def _converted(modifiers, values):
    to, of = modifiers[-2:]
    if to.endswith("x2"):  # the first operand is the upper half
        upper, lower = (v.astype(_FLOAT[to[:-2]]).view(np.uint16) for v in values)
        return upper.astype(np.uint32) << 16 | lower
    if to in _FLOAT:
        value = typed(values[0], of) if of in ("f16", "bf16") else values[0]
        return value.astype(_FLOAT[to])
    return _between(modifiers, values[0])


def _between(modifiers, value):
    """To an integer: towards zero, what is too far goes to the end; NaN to 0, or the least."""
    if modifiers[0] == "rn":
        return value.astype(_FLOAT[modifiers[1]])
    size = int(modifiers[1][1:])
    ends = -(2 ** (size - 1)), 2 ** (size - 1) - 1
    nan = ends[0] if size == 64 or modifiers[2] == "f64" else 0
    found = [nan if v != v else int(max(min(v, 2.0**64), -(2.0**64))) for v in value.tolist()]
    return np.array([min(max(v, ends[0]), ends[1]) for v in found], object)


def _compared(name, a, b):
    nan = np.isnan(a) | np.isnan(b)
    if name in ("num", "nan"):
        return nan if name == "nan" else ~nan
    if name.endswith("u"):
        return nan | _COMPARED[name[:-1]](a, b)
    return ~nan & _COMPARED[name](a, b)


# --- integers ------------------------------------------------------------------------------------


def _integers(name, modifiers, values, size):
    if name == "mul" and modifiers[0] == "hi":
        name = "mul.hi"
    function = _COMPARED[modifiers[0]] if name == "setp" else _INTEGER[name]
    rows = zip(*(v.tolist() for v in values))
    wide = [function(*row, size) if name == "not" else function(*row) for row in rows]
    return np.array(wide, object)


def _insert(a, b, first, count):
    mask = ((1 << (count & 255)) - 1) << (first & 255) & (2**64 - 1)
    return b & ~mask | a << (first & 255) & mask


def _permuted(a, b, selector):
    found = 0
    for i in range(4):
        digit = selector >> 4 * i & 15
        byte = ((b % 2**32) << 32 | a % 2**32) >> 8 * (digit & 7) & 255
        found |= (byte if digit < 8 else 255 * (byte >> 7)) << 8 * i
    return found


_INTEGER = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "mul.hi": lambda a, b: a * b >> 32,
    "mad": lambda a, b, c: a * b + c,
    "max": max,
    "min": min,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "neg": operator.neg,
    "not": lambda a, size: not a if size == 8 else ~a,
    "bfe": lambda a, b, c: a >> (b & 255) & ((1 << (c & 255)) - 1),
    "shl": lambda a, b: a << min(b, 64),
    "shr": lambda a, b: a >> min(b, 64),
    "bfi": _insert,
    "prmt": _permuted,
    "selp": lambda a, b, c: a if c else b,
    "mov": lambda a: a,
    "cvt": lambda a: a,
    "cvta": lambda a: a,
}
