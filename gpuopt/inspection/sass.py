"""Parse SASS, the machine code, as printed by nvdisasm."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

from .flow import Access, Block, Instruction

_LABEL = re.compile(r"^([.$\w]+):\s*$")
_LINE = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_TARGET = re.compile(r"`\(([.$\w]+)\)")
_WIDTH = re.compile(r"\.(U8|S8|U16|S16|32|64|128|256)\b")
_REGISTER = re.compile(r"\bR(\d+)\b")
_UNCONDITIONAL = re.compile(r"^`\(")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2}

_PIPES = (
    ("fp32", re.compile(r"^F(?:ADD|MUL|FMA)2?$|^FHADD$")),
    ("fp64", re.compile(r"^D(?:ADD|MUL|FMA|SETP)$")),
    ("special", re.compile(r"^MUFU$|^(?:F2F|F2I|I2F)$")),
)
"""Units that may be the bottleneck, besides instruction issue, and the instructions they run."""


def parse(text: str) -> tuple[Block, ...]:
    """Return the blocks of a listing with labels (``nvdisasm -c``)."""
    return tuple(_blocks(text.splitlines()))


def _blocks(lines: Iterable[str]) -> Iterable[Block]:
    label = ""
    instructions: list[Instruction] = []
    for line in lines:
        named = _LABEL.match(line)
        if named is not None:
            if instructions or label:
                yield Block(label, tuple(instructions))
            label, instructions = named.group(1), []
            continue
        found = _LINE.match(line)
        if found is None:
            continue
        guard, opcode, operands = found.groups()
        one = Instruction((guard or "").strip(), opcode, operands)
        instructions.append(one)
        if _jumps(one):
            yield Block(label, tuple(instructions), _target(one), _may_go_on(one))
            label, instructions = "", []
    if instructions or label:
        yield Block(label, tuple(instructions))


def _jumps(one: Instruction) -> bool:
    """Return whether it ends a block; on sm_80, the call of a local label is a jump."""
    return one.name in ("BRA", "EXIT", "RET", "BRX", "JMP", "JMX") or (
        one.name == "CALL" and "`(.L" in one.operands
    )


def _target(jump: Instruction) -> str:
    if jump.name in ("EXIT", "RET"):
        return ""
    found = _TARGET.search(jump.operands)
    if found is None:
        raise ValueError(f"a jump that cannot be followed: {jump.opcode} {jump.operands}")
    return found.group(1)


def _may_go_on(jump: Instruction) -> bool:
    """Return whether a jump is conditional: ``@P0 BRA`` or ``BRA.U UP0, ...``."""
    if jump.name in ("EXIT", "RET"):
        return bool(jump.guard)
    return bool(jump.guard) or _UNCONDITIONAL.match(jump.operands) is None


def accesses(instructions: Iterable[Instruction]) -> list[Access]:
    """Return the accesses to global memory."""
    return [
        Access(one.name == "STG", bool(one.guard), access_width(one.opcode))
        for one in instructions
        if one.name in ("LDG", "STG")
    ]


def access_width(opcode: str) -> int:
    """Return the bytes per access.

    >>> access_width("LDG.E.128"), access_width("STG.E.U16.SYS"), access_width("LDG.E")
    (16, 2, 4)
    """
    found = _WIDTH.search(opcode)
    if found is None:
        return 4
    name = found.group(1)
    return _WIDTHS[name] if name in _WIDTHS else int(name) // 8


def slow_paths(blocks: Sequence[Block]) -> list[int]:
    """Return the blocks that call a subroutine.

    Division and square root are inline for ordinary numbers; denormals and overflow are handled by
    subroutines, which are not part of the main path.
    """
    return [
        index
        for index, block in enumerate(blocks)
        if any(one.name == "CALL" and not _jumps(one) for one in block.instructions)
    ]


def length(blocks: Sequence[Block]) -> int:
    """Return the instructions of a kernel, without those of subroutines, which follow its own."""
    own = takewhile(lambda block: not block.label.startswith("$"), blocks)
    return sum(one.name != "NOP" for block in own for one in block.instructions)


def pipes(instructions: Iterable[Instruction]) -> Counter[str]:
    """Return the operations of each unit; a packed instruction counts twice."""
    counts: Counter[str] = Counter()
    for one in instructions:
        for pipe, pattern in _PIPES:
            if pattern.match(one.name):
                counts[pipe] += 2 if one.name.endswith("2") and pipe == "fp32" else 1
    return counts


def special_functions(instructions: Iterable[Instruction]) -> Counter[str]:
    """Return the special functions by kind: ``RCP`` for a division, ``RSQ`` for a square root."""
    names = [one.opcode.split(".")[1] for one in instructions if one.name == "MUFU"]
    return Counter(name.removesuffix("64H") for name in names)


def spills(instructions: Iterable[Instruction]) -> int:
    """Return the number of instructions that use local memory."""
    return sum(one.name in ("STL", "LDL") for one in instructions)


def barriers(instructions: Iterable[Instruction]) -> int:
    """Return the number of instructions that wait for the other threads of a block."""
    return sum(one.name == "BAR" for one in instructions)


def loads_in_flight(instructions: Iterable[Instruction]) -> int:
    """Return the maximum bytes that a thread loads before it waits for any of them."""
    pending: dict[int, int] = {}
    most = total = 0
    for one in instructions:
        registers = [int(number) for number in _REGISTER.findall(one.operands)]
        if one.name == "LDG":
            width = access_width(one.opcode)
            first = registers[0]
            waits = any(register in pending for register in registers[1:])
            if waits:
                pending, total = {}, 0
            for register in range(first, first + max(1, width // 4)):
                pending[register] = width
            total += width
            most = max(most, total)
        elif any(register in pending for register in registers):
            pending, total = {}, 0
    return most
