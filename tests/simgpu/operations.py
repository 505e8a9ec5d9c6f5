"""What each arithmetic instruction computes: a C expression of its operands a, b, c, d.

The types are PTX's own names, which device.h defines. Arithmetic of integers wraps around. What
rounds is named with ``.rn`` alone, as the kernels must have it; a plain ``add.f32``, which an
assembler may contract, is not known.
"""

from itertools import product
from typing import NamedTuple

INTEGERS = ("s16", "s32", "s64", "u16", "u32", "u64")
BYTES = ("s8", "u8")
BITS = ("b16", "b32", "b64")
FLOATS = ("f32", "f64")

_LOGIC = {"and": "&", "or": "|", "xor": "^"}


class Operation(NamedTuple):
    """An instruction.

    Attributes:
        result: the type that it writes.
        operands: the types that it reads.
        expression: in C.
    """

    result: str
    operands: tuple
    expression: str


def c_name(opcode):
    """Return what the C function of an opcode is called.

    >>> c_name("add.rn.f32")
    'ptx_add_rn_f32'
    """
    return "ptx_" + opcode.replace(".", "_")


def _alike(kind, count, expression):
    return Operation(kind, (kind,) * count, expression)


def _integers():
    """Instructions of signed and unsigned integers, and of bits."""
    for t in ("s32", "u32", "s64", "u64"):
        sign, bits = t[0], int(t[1:])
        for name, sum_ in (("add", "a + b"), ("sub", "a - b"), ("mul.lo", "a * b")):
            yield f"{name}.{t}", _alike(t, 2, sum_)
        high = "(u32)((u64)a * b >> 32)" if t == "u32" else "(s64)a * b >> 32"
        if bits == 32:
            yield f"mul.hi.{t}", _alike(t, 2, high)
        yield f"mad.lo.{t}", _alike(t, 3, "a * b + c")
        yield f"max.{t}", _alike(t, 2, "a > b ? a : b")
        yield f"min.{t}", _alike(t, 2, "a < b ? a : b")
        none_left = "0" if sign == "u" else f"a >> {bits - 1}"
        shifted = f"b < {bits} ? a >> b : {none_left}"
        yield f"shr.{t}", Operation(t, (t, "u32"), shifted)
        if bits < 64:
            wide = f"{sign}{2 * bits}"
            yield f"mul.wide.{t}", Operation(wide, (t, t), f"({wide})a * b")
            yield f"mad.wide.{t}", Operation(wide, (t, t, wide), f"({wide})a * b + c")
    yield "shr.s16", Operation("s16", ("s16", "u32"), "b < 16 ? a >> b : a >> 15")
    yield "shr.u16", Operation("u16", ("u16", "u32"), "b < 16 ? a >> b : 0")
    yield "neg.s64", _alike("s64", 1, "-a")
    yield "mad.lo.s16", _alike("s16", 3, "a * b + c")
    ones = "(c & 255) > 31 ? ~0u : (1u << (c & 255)) - 1"
    yield "bfe.u32", _alike("u32", 3, f"(b & 255) > 31 ? 0 : a >> (b & 255) & ({ones})")
    yield "prmt.b32", _alike("b32", 3, "permute_bytes(a, b, c)")
    yield "bfi.b64", Operation("b64", ("b64", "b64", "u32", "u32"), "insert_bits(a, b, c, d)")
    for t in BITS:
        for name, operator in _LOGIC.items():
            yield f"{name}.{t}", _alike(t, 2, f"a {operator} b")
        yield f"not.{t}", _alike(t, 1, "~a")
        yield f"shl.{t}", Operation(t, (t, "u32"), f"b < {t[1:]} ? a << b : 0")


def _floats():
    """Instructions of floats, each rounding once, to nearest, ties to even."""
    for t in FLOATS:
        for name, operator in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/")):
            yield f"{name}.rn.{t}", _alike(t, 2, f"canonical_{t}(a {operator} b)")
        yield f"fma.rn.{t}", _alike(t, 3, f"canonical_{t}(fma_{t}(a, b, c))")
        yield f"sqrt.rn.{t}", _alike(t, 1, f"canonical_{t}(sqrt_{t}(a))")
        yield f"rcp.rn.{t}", _alike(t, 1, f"canonical_{t}(1 / a)")
        # The number if the other is NaN; -0 is less than +0.
        yield f"max.{t}", _alike(t, 2, f"max_{t}(a, b)")
        yield f"min.{t}", _alike(t, 2, f"-max_{t}(-a, -b)")
        yield f"abs.{t}", _alike(t, 1, f"absolute_{t}(a)")
        yield f"neg.{t}", _alike(t, 1, "-a")
    # One ulp beside the nearest, as the instruction may be; in either direction.
    yield "rcp.approx.ftz.f32", _alike("f32", 1, "approximate_reciprocal(a)")
    nan = "a != a || b != b ? canonical_f32(a + b)"
    yield "max.NaN.f32", _alike("f32", 2, f"{nan} : max_f32(a, b)")
    yield "min.NaN.f32", _alike("f32", 2, f"{nan} : -max_f32(-a, -b)")


def _pairs():
    """Two floats in 64 bits, and a 16-bit float that is widened first."""
    for name in ("add", "sub", "mul"):
        one = c_name(f"{name}.rn.f32")
        low, high = (f"{one}(as_f32((u32)(a >> {n})), as_f32((u32)(b >> {n})))" for n in (0, 32))
        pair = f"of_f32({low}) | (u64)of_f32({high}) << 32"
        yield f"{name}.rn.f32x2", _alike("b64", 2, pair)
    for name, (kind, widen) in product(("add", "sub"), _WIDEN.items()):
        expression = f"{c_name(f'{name}.rn.f32')}({widen}(a), b)"
        yield f"{name}.rn.f32.{kind}", Operation("f32", ("b16", "f32"), expression)

    for kind in _WIDEN:
        yield f"abs.{kind}", _alike("b16", 1, "a & 0x7fff")
        yield f"abs.{kind}x2", _alike("b32", 1, "a & 0x7fff7fff")


_WIDEN = {"f16": "from_float16", "bf16": "from_bfloat16"}


def _conversions():
    for kind, widen in _WIDEN.items():
        narrow = widen.replace("from", "to")
        yield f"cvt.f32.{kind}", Operation("f32", ("b16",), f"{widen}(a)")
        yield f"cvt.f64.{kind}", Operation("f64", ("b16",), f"{widen}(a)")
        yield f"cvt.rn.{kind}.f32", Operation("b16", ("f32",), f"{narrow}(a)")
        pair = f"(u32){narrow}(a) << 16 | {narrow}(b)"
        yield f"cvt.rn.{kind}x2.f32", Operation("b32", ("f32", "f32"), pair)
    yield "cvt.f64.f32", Operation("f64", ("f32",), "a")
    yield "cvt.rn.f32.f64", Operation("f32", ("f64",), "canonical_f32((f32)a)")
    yield "cvt.rn.f64.s64", Operation("f64", ("s64",), "(f64)a")
    yield "cvt.rn.f64.s32", Operation("f64", ("s32",), "a")
    for integer in (*BYTES, "u16", "s16", "u32", "s32"):
        yield f"cvt.rn.f32.{integer}", Operation("f32", (integer,), "(f32)a")
    yield "cvt.rzi.s32.f32", Operation("s32", ("f32",), "to_integer32(a)")
    yield "cvt.rzi.s32.f64", Operation("s32", ("f64",), "integer32_of_double(a)")
    for t in FLOATS:
        yield f"cvt.rzi.s64.{t}", Operation("s64", (t,), "to_integer(a)")
    for to, of in product((*BYTES, *INTEGERS), repeat=2):
        yield f"cvt.{to}.{of}", Operation(to, (of,), f"({to})a")


_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _comparisons():
    for t, (name, operator) in product(INTEGERS, _COMPARED.items()):
        yield f"setp.{name}.{t}", Operation("pred", (t, t), f"a {operator} b")
    for t, name in product(BITS, ("eq", "ne")):
        yield f"setp.{name}.{t}", Operation("pred", (t, t), f"a {_COMPARED[name]} b")
    for t in FLOATS:
        for name, operator in _COMPARED.items():
            ordered = f"a == a && b == b && a {operator} b"
            yield f"setp.{name}.{t}", Operation("pred", (t, t), ordered)
            unordered = f"a != a || b != b || a {operator} b"
            yield f"setp.{name}u.{t}", Operation("pred", (t, t), unordered)
    for (t, widen), (name, operator) in product(_WIDEN.items(), _COMPARED.items()):
        a, b = f"{widen}(a)", f"{widen}(b)"
        known = f"!isnan({a}) && !isnan({b})"
        halves = "b16", "b16"
        yield f"setp.{name}.{t}", Operation("pred", halves, f"{known} && {a} {operator} {b}")
        yield f"setp.{name}u.{t}", Operation("pred", halves, f"!({known}) || {a} {operator} {b}")
        if name == "eq":
            yield f"setp.num.{t}", Operation("pred", halves, known)
            yield f"setp.nan.{t}", Operation("pred", halves, f"!({known})")
    for t in FLOATS:
        yield f"setp.num.{t}", Operation("pred", (t, t), "a == a && b == b")
        yield f"setp.nan.{t}", Operation("pred", (t, t), "a != a || b != b")


def _moves():
    for t in (*INTEGERS, *BITS, *FLOATS):
        yield f"selp.{t}", Operation(t, (t, t, "pred"), "c ? a : b")
        yield f"mov.{t}", _alike(t, 1, "a")
    for name, operator in _LOGIC.items():
        yield f"{name}.pred", _alike("pred", 2, f"a {operator} b")
    yield "not.pred", _alike("pred", 1, "!a")
    yield "mov.pred", _alike("pred", 1, "a")
    yield "cvta.to.global.u64", _alike("u64", 1, "a")


OPERATIONS = {
    **dict(_integers()),
    **dict(_floats()),
    **dict(_pairs()),
    **dict(_conversions()),
    **dict(_comparisons()),
    **dict(_moves()),
}
"""The operation of each opcode."""


def definition(opcode):
    """Return the C function that an opcode stands for."""
    operation = OPERATIONS[opcode]
    arguments = ", ".join(f"{kind} {name}" for kind, name in zip(operation.operands, "abcd"))
    head = f"static inline {operation.result} {c_name(opcode)}({arguments})"
    return f"{head} {{ return {operation.expression}; }}"


def needed(opcode):
    """Return the opcode, behind those that its expression calls."""
    expression = OPERATIONS[opcode].expression
    return [*(o for o in _CALLED if o != opcode and c_name(o) + "(" in expression), opcode]


_CALLED = tuple(f"{name}.rn.f32" for name in ("add", "sub", "mul"))
