"""Parse PTX: arguments, blocks, memory accesses, and operations that are not exactly rounded.

Exactness is decided here, because PTX specifies the rounding of every operation; SASS does not (a
division is a dozen instructions).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .flow import Access, Block, Instruction

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\((.*?)\)(.*?)\{(.*)\}", re.DOTALL)
_PARAMETER = re.compile(r"\.param\s+\.(\w+)[^,]*?([\w$]+)\s*(?:,|$)")
_THREADS = re.compile(r"\.(?:req|max)ntid\s+(\d+)")
_LINE_INFO = re.compile(r"^\s*\.(?:loc|file|section)\b[^\n]*$", re.MULTILINE)
_LABEL = re.compile(r"^([$\w]+):")
_STATEMENT = re.compile(r"^(@!?%\w+)?\s*([a-z][\w.:]*)\s*(.*)$", re.DOTALL)
_ELEMENT = re.compile(r"\.[busf](8|16|32|64|128)(?:x2)?$")
_FLOATS = frozenset({"f16", "f16x2", "bf16", "bf16x2", "f32", "f32x2", "f64"})

_ROUNDED = frozenset({"add", "sub", "mul", "div", "sqrt", "rcp"})
"""Operations that are exact only with the modifier ``.rn``."""

_EXACT = frozenset(
    {"abs", "copysign", "max", "min", "mov", "neg", "ld", "st", "selp", "set", "setp", "slct"}
    | {"redux"}
)
"""Operations without rounding; on floats, ``redux`` has only minimum and maximum."""

_QUOTIENT = ("rcp.approx.ftz.f32", "fma.rn.f32", "fma.rn.f32x2")

_INEXACT = frozenset({"approx", "ftz", "full", "relu", "rm", "rp", "rz", "sat"})
"""Modifiers whose results differ from rounding to nearest."""


@dataclass(frozen=True)
class Entry:
    """A kernel in PTX.

    Attributes:
        name: of the entry.
        parameters: the types of its parameters, such as ``"u64"``.
        threads: per block, as declared; 0 if not declared.
        blocks: its basic blocks.
    """

    name: str
    parameters: tuple[str, ...]
    threads: int
    blocks: tuple[Block, ...]

    @property
    def instructions(self) -> list[Instruction]:
        """All instructions, in the order of the text."""
        return [one for block in self.blocks for one in block.instructions]


def parse(text: str) -> Entry:
    """Return the entry of a PTX module.

    Raises:
        ValueError: there is none.
    """
    found = _ENTRY.search(_COMMENT.sub("", text))
    if found is None:
        raise ValueError("the PTX has no entry")
    name, parameters, directives, body = found.groups()
    threads = _THREADS.search(directives)
    return Entry(
        name,
        tuple(kind for kind, _ in _PARAMETER.findall(" ".join(parameters.split()))),
        int(threads.group(1)) if threads else 0,
        tuple(_blocks(body)),
    )


def _blocks(body: str) -> Iterable[Block]:
    label = ""
    instructions: list[Instruction] = []
    for item in _items(body):
        if isinstance(item, str):
            if instructions or label:
                yield Block(label, tuple(instructions))
            label, instructions = item, []
            continue
        instructions.append(item)
        if item.name in ("bra", "ret", "exit", "trap"):
            target = item.operands if item.name == "bra" else ""
            yield Block(label, tuple(instructions), target, bool(item.guard))
            label, instructions = "", []
    if instructions or label:
        yield Block(label, tuple(instructions))


def _items(body: str) -> Iterable[Instruction | str]:
    """Yield instructions, and labels as strings."""
    for statement in _LINE_INFO.sub("", body).split(";"):
        text = statement.lstrip("{} \t\n")
        while (label := _LABEL.match(text)) is not None:
            yield label.group(1)
            text = text[label.end() :].lstrip("{} \t\n")
        found = None if text.startswith(".") else _STATEMENT.match(text)
        if found is not None:
            guard, opcode, operands = found.groups()
            yield Instruction(guard or "", opcode, " ".join(operands.split()))


# --- memory ---------------------------------------------------------------------------------


def accesses(block: Block) -> list[Access]:
    """Return the accesses of a block to global memory."""
    return [
        Access(one.name == "st", bool(one.guard), _width(one.opcode))
        for one in filter(is_global_access, block.instructions)
    ]


def is_global_access(one: Instruction) -> bool:
    """Return whether an instruction loads from global memory or stores to it."""
    return one.name in ("ld", "st") and "global" in one.opcode.split(".")


def _width(opcode: str) -> int:
    element = _ELEMENT.search(opcode)
    if element is None:
        raise ValueError(f"an access of unknown width: {opcode}")
    parts = opcode.split(".")
    lanes = 4 if "v4" in parts else 2 if "v2" in parts else 8 if "v8" in parts else 1
    return lanes * int(element.group(1)) // 8


# --- exactness ------------------------------------------------------------------------------


def inexact(instructions: Iterable[Instruction]) -> list[str]:
    """Return the distinct opcodes whose results may differ from IEEE arithmetic.

    Exact are floating-point operations that do not round, or round once to nearest. ``add.f32``
    without ``.rn`` is inexact, since the assembler may contract it, and so are unknown opcodes.
    An approximate reciprocal with four fused sums is `gpuopt.kernels.roundings.quotient`; where
    LLVM packs two sums into one instruction, it may compute one of them twice.
    """
    found = Counter(one.opcode for one in instructions if not _is_exact(one.opcode))
    reciprocal, fused, pair = _QUOTIENT
    more = found[fused] + 2 * found[pair] - 4 * found[reciprocal]
    if more == 0 or (found[pair] and 0 < more <= found[reciprocal] // 4):  # computed twice
        for opcode in _QUOTIENT:
            del found[opcode]
    return sorted(found)


def is_float(opcode: str) -> bool:
    """Return whether an operation takes floating-point numbers, or returns them."""
    return not _FLOATS.isdisjoint(opcode.split("."))


def _is_exact(opcode: str) -> bool:
    name, *modifiers = opcode.split(".")
    floats = [m for m in modifiers if m in _FLOATS]
    if name == "call":
        return False
    if not floats:
        return True
    if _INEXACT & set(modifiers):
        return False
    if name == "cvt":
        return "rn" in modifiers or _loses_nothing(modifiers)
    return name in _EXACT or (name in _ROUNDED and "rn" in modifiers)


def _loses_nothing(modifiers: Sequence[str]) -> bool:
    """Return whether a conversion widens, or truncates to an integer as C does."""
    return "rzi" in modifiers or not any(m.startswith("r") for m in modifiers)


# --- iterations of a loop -----------------------------------------------------------------------

_LIMIT = 1 << 14


def iterations(blocks: Sequence[Block], graph: Sequence[Sequence[int]], loop: Sequence[int]) -> int:
    """Return the iterations of a loop, by executing its integer instructions.

    Raises:
        ValueError: the number depends on values unknown at compile time.
    """
    inside = set(loop)
    registers: dict[str, int] = {}
    route = _route_to(graph, inside)
    for index in route[:-1]:
        for instruction in blocks[index].instructions:
            _execute(instruction, registers)
    header = route[-1]
    current, count = header, 0
    while current in inside:
        count += current == header
        if count > _LIMIT:
            raise ValueError("the loop does not seem to end")
        for instruction in blocks[current].instructions:
            _execute(instruction, registers)
        current = _next_block(blocks, graph, current, registers, inside)
    return count


def _route_to(graph: Sequence[Sequence[int]], inside: set[int]) -> list[int]:
    """Return a shortest path from the entry to the loop."""
    routes = [[0]]
    seen = {0}
    for route in routes:
        if route[-1] in inside:
            return route
        for after in graph[route[-1]]:
            if after not in seen:
                seen.add(after)
                routes.append([*route, after])
    raise ValueError("nothing leads to the loop")


def _next_block(
    blocks: Sequence[Block],
    graph: Sequence[Sequence[int]],
    current: int,
    registers: dict[str, int],
    inside: set[int],
) -> int:
    after = graph[current]
    if len(set(after)) <= 1:
        return after[0] if after else -1
    guard = blocks[current].instructions[-1].guard
    value = registers.get(guard.lstrip("@!"))
    if value is None:
        if set(after) <= inside:
            return after[0]
        raise ValueError("the end of the loop is not known at compile time")
    taken = bool(value) != guard.startswith("@!")
    falls, jumps = after
    return jumps if taken else falls


def _execute(instruction: Instruction, registers: dict[str, int]) -> None:
    """Execute one integer instruction; unknown results are removed from the registers."""
    first, *rest = [part.strip() for part in instruction.operands.split(",")]
    if not first.startswith("%"):
        for register in re.findall(r"%\w+", first if instruction.name == "ld" else ""):
            registers.pop(register, None)
        return
    values = [_value(operand, registers) for operand in rest]
    known = [value for value in values if value is not None]
    result = None
    if len(known) == len(values) and not instruction.guard:
        result = _compute(instruction.opcode.split("."), known)
    if result is None:
        registers.pop(first, None)
    else:
        registers[first] = result


def _value(operand: str, registers: dict[str, int]) -> int | None:
    if operand == "%tid.x":
        return 0
    if re.fullmatch(r"-?\d+", operand):
        return int(operand)
    if re.fullmatch(r"0x[0-9A-Fa-f]+", operand):
        return int(operand, 16)
    return registers.get(operand)


def _compute(opcode: Sequence[str], values: Sequence[int]) -> int | None:
    kind = re.fullmatch(r"([busf])(\d+)", opcode[-1])
    if kind is None or kind.group(1) == "f":
        return None
    signed, bits = kind.group(1) == "s", int(kind.group(2))
    a, *others = (_wrap(value, bits, signed) for value in values)
    if opcode[0] in ("mov", "cvt") and not others:
        return _wrap(a, bits, signed)
    if opcode[0] == "setp" and len(others) == 1:
        return _compare(opcode[1], a, others[0])
    if opcode[0] in ("add", "sub", "shl", "and", "or") and len(others) == 1:
        b = others[0]
        result = {"add": a + b, "sub": a - b, "and": a & b, "or": a | b}
        return _wrap(a << b if opcode[0] == "shl" else result[opcode[0]], bits, signed)
    return None


def _compare(how: str, a: int, b: int) -> int | None:
    results = {"lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b, "eq": a == b, "ne": a != b}
    return int(results[how]) if how in results else None


def _wrap(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
