"""What the accesses of a warp to global memory move, and the 32-byte sectors they touch, from PTX.

Of each register it is found by how much it differs between the threads of a block. That is all that
an address must be known by: what threads have in common (an address of the table, the beginning of
a chunk, the counter of a loop) moves the sectors, but does not change their number. Of what they
have in common, a power of two that divides it is found, too: an index of elements is divided by 32
to get that of a block.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import flow, ptx
from .gpus import WARP

SECTOR = 32
"""Bytes that memory moves at once."""

UNKNOWN = -1
"""In place of a number of sectors."""

_Threads = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]

_OPERAND = re.compile(r"\{[^}]*\}|\[[^]]*\]|[^\s,{}\[\]]+")
_REGISTER = re.compile(r"%[a-z]+\d+")
_INTEGER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+)$")
_COMMON = re.compile(r"%n?ctaid\.[xyz]$|%ntid\.[xyz]$|0[fd][0-9A-Fa-f]+$|[A-Za-z_$][\w$]*$")


@dataclass(frozen=True, order=True)
class Touched:
    """What an access of all threads of a warp touches.

    Attributes:
        store: whether it writes.
        masked: whether it may be left out for some threads.
        width: bytes per thread.
        sectors: those that a warp touches, if its first byte begins one: the warp that touches the
            most beyond the floor; `UNKNOWN` if the addresses depend on values in memory that
            differ between threads.
        floor: the fewest sectors that hold the bytes of that warp.
        moved: bytes per thread, those that several threads of a warp access counted once; the
            width if the addresses are unknown.
        common: whether all threads of a block access one address.
    """

    store: bool
    masked: bool
    width: int
    sectors: int
    floor: int
    moved: float
    common: bool = False

    @property
    def shared(self) -> bool:
        """Whether threads of a warp access the same bytes."""
        return self.moved < self.width


@dataclass(frozen=True)
class _Value:
    """An integer in each thread: what all threads have in common, plus its own distance from it.

    Attributes:
        threads: the distances; None if they are not known.
        step: a power of two, or a multiple of one, that divides what is common; 0 if that is 0,
            so that the integers themselves are known.
    """

    threads: _Threads | None
    step: int = 1

    @property
    def known(self) -> bool:
        """Whether the integers are known."""
        return self.threads is not None and self.step == 0

    @property
    def same(self) -> bool:
        """Whether it is the same in all threads."""
        return self.threads is not None and bool((self.threads == self.threads[0]).all())

    def joined(self, other: _Value) -> _Value:
        """Return what holds for either."""
        if self.threads is None or other.threads is None:
            return _ANY
        apart = self.threads - other.threads
        if (apart != apart[0]).any():
            return _ANY
        return _Value(self.threads, math.gcd(self.step, other.step, int(apart[0])))

    def equals(self, other: _Value | None) -> bool:
        """Return whether the same is known of both."""
        if other is None or self.step != other.step:
            return False
        if self.threads is None or other.threads is None:
            return self.threads is other.threads
        return np.array_equal(self.threads, other.threads)


_ANY = _Value(None)

_Registers = dict[str, _Value]
"""What is known of the registers by name; parts packed in one have their index behind its name."""


def touched(entry: ptx.Entry, threads: int) -> tuple[Touched, ...]:
    """Return the distinct accesses of a kernel whose addresses differ between threads.

    Numbers that all threads read or write at one address (of the table, coefficients, partials) are
    left out: they are no elements.

    Args:
        entry: the kernel.
        threads: per block.
    """
    return distinct(by_block(entry, threads))


def distinct(blocks: Sequence[Sequence[Touched]]) -> tuple[Touched, ...]:
    """Return the distinct accesses whose addresses differ between threads."""
    return tuple(sorted({one for block in blocks for one in block if not one.common}))


def by_block(entry: ptx.Entry, threads: int) -> list[list[Touched]]:
    """Return the accesses of each basic block, in order."""
    blocks, constants = entry.blocks, _Constants(threads)
    graph = flow.graph_of(blocks)
    skipped, begins = flow.skipped(graph), _at_the_beginnings(blocks, graph, constants)
    return [
        list(_touched(block, begins.get(index, {}), constants, index in skipped))
        for index, block in enumerate(blocks)
    ]


def _at_the_beginnings(
    blocks: Sequence[flow.Block], graph: flow.Graph, constants: _Constants
) -> dict[int, _Registers]:
    """Return what is known of the registers where each block begins, on whatever way."""
    begins: dict[int, _Registers] = {0: {}}
    waiting = [0]
    while waiting:
        index = waiting.pop(0)
        registers = dict(begins[index])
        for one in blocks[index].instructions:
            _execute(one, registers, constants)
        for after in graph[index]:
            merged = _merged(begins.get(after), registers)
            if merged is not None:
                begins[after] = merged
                waiting += [] if after in waiting else [after]
    return begins


def _merged(known: _Registers | None, more: _Registers) -> _Registers | None:
    """Return what holds for both; None if that is what was known."""
    if known is None:
        return dict(more)
    merged = {**more, **known}
    for name in known.keys() & more.keys():
        if known[name] is not more[name]:
            merged[name] = known[name].joined(more[name])
    same = len(merged) == len(known) and all(merged[n].equals(one) for n, one in known.items())
    return None if same else merged


def _touched(
    block: flow.Block, begin: _Registers, constants: _Constants, skipped: bool
) -> Iterator[Touched]:
    registers = dict(begin)
    for one in block.instructions:
        if ptx.is_global_access(one):
            (place,) = re.findall(r"\[\s*(%\w+)", one.operands)
            (access,) = ptx.accesses(flow.Block("", (one,)))
            active = _active(one, registers)
            masked = skipped or (access.guarded and active is None)
            address = registers.get(place, _ANY)
            found = _moved_by(address, active, access.width)
            yield Touched(access.store, masked, access.width, *found, address.same)
        _execute(one, registers, constants)


def _active(one: flow.Instruction, registers: _Registers) -> _Flags | None:
    """Return which threads a guard lets through, if that depends on their index alone."""
    value = registers.get(one.guard.lstrip("@!"))
    if value is None or not value.known:
        return None
    active: _Flags = _threads(value) != int(one.guard.startswith("@!"))
    return active


def _moved_by(address: _Value, active: _Flags | None, width: int) -> tuple[int, int, float]:
    """Return the sectors that a warp touches, their floor, and the bytes that move per thread."""
    if address.threads is None:
        return UNKNOWN, WARP * width // SECTOR, width
    warps = address.threads.reshape(-1, WARP)
    acts = np.ones_like(warps, bool) if active is None else active.reshape(-1, WARP)
    own = [warp[act] for warp, act in zip(warps, acts)]
    bytes_ = [np.unique((w - w.min())[:, None] + np.arange(width)) for w in own if len(w)]
    counts = [(len(np.unique(warp // SECTOR)), -(-len(warp) // SECTOR)) for warp in bytes_]
    sectors, floor = max(counts, key=lambda one: (one[0] - one[1], one[0]), default=(0, 0))
    return sectors, floor, sum(map(len, bytes_)) / address.threads.size


class _Constants:
    """What does not depend on registers.

    Attributes:
        tid: the index of each thread in its block.
        common: a value that is the same in all threads.
    """

    def __init__(self, threads: int) -> None:
        self.tid = _Value(np.arange(threads), step=0)
        self.common = _Value(np.zeros(threads, np.int64))

    def value(self, operand: str, registers: _Registers) -> _Value:
        """Return what is known of an operand."""
        if operand == "%tid.x":
            return self.tid
        if _INTEGER.match(operand):
            return _Value(np.full_like(_threads(self.tid), int(operand, 0)), step=0)
        if _COMMON.match(operand):
            return self.common
        return registers.get(operand, _ANY)


def _execute(one: flow.Instruction, registers: _Registers, constants: _Constants) -> None:
    """Replace what is known of the registers that an instruction writes."""
    first, *operands = _OPERAND.findall(one.operands) or [""]
    if one.name in ("st", "bra", "bar") or not first.startswith(("%", "{")):
        return
    names = [name for operand in operands for name in _names(operand)]
    result = _result(one, [constants.value(name, registers) for name in names], constants)
    written = _REGISTER.findall(first)
    found = dict.fromkeys(written, result)
    if one.name == "mov" and operands[0].startswith("{"):  # packs parts
        found |= {f"{first}.{i}": constants.value(n, registers) for i, n in enumerate(names)}
    elif one.name == "mov" and first.startswith("{"):  # unpacks them
        parts = [registers.get(f"{operands[0]}.{i}", result) for i in range(len(_names(first)))]
        found = dict(zip(_names(first), parts))
    for register, value in found.items():
        before = registers.get(register) if one.guard else None
        registers[register] = value if before is None else before.joined(value)


def _result(one: flow.Instruction, values: Sequence[_Value], constants: _Constants) -> _Value:
    if one.name == "ld":
        param = "param" in one.opcode.split(".")
        return constants.common if param or values[0].same else _ANY
    if one.name in ("shfl", "redux", "activemask"):
        return _ANY
    modifiers = one.opcode.split(".")
    integers = "{" not in one.operands and not ptx.is_float(one.opcode) and "hi" not in modifiers
    if integers and all(value.known for value in values):
        compares = one.name == "setp" and len(values) == 2
        exact = _COMPARED.get(modifiers[1]) if compares else _EXACT.get(one.name)
        if exact is not None:
            return _Value(exact(*map(_threads, values)).astype(np.int64), step=0)
    if integers and one.name in _LINEAR:
        found = _LINEAR[one.name](*values)
        if found.threads is not None:
            return found
    return constants.common if all(value.same for value in values) else _ANY


def _names(operand: str) -> list[str]:
    """Return the registers and numbers of an operand."""
    if operand.startswith("["):
        return re.findall(r"[%\w$.]+", operand)[:1]
    return operand.strip("{} ").replace(",", " ").split()


def _threads(value: _Value) -> _Threads:
    assert value.threads is not None
    return value.threads


def _itself(value: _Value) -> _Value:
    return value


def _sum(a: _Value, b: _Value) -> _Value:
    if a.threads is None or b.threads is None:
        return _ANY
    return _Value(a.threads + b.threads, math.gcd(a.step, b.step))


def _difference(a: _Value, b: _Value) -> _Value:
    return _sum(a, _ANY if b.threads is None else _Value(-b.threads, b.step))


def _product(a: _Value, b: _Value) -> _Value:
    for factor, other in ((a, b), (b, a)):
        number = _number(factor)
        if number is not None and other.threads is not None:
            return _Value(other.threads * number, other.step * abs(number))
    return _ANY


def _shifted(a: _Value, b: _Value) -> _Value:
    return _product(a, _Value(1 << _threads(b), step=0)) if b.known else _ANY


def _shifted_back(a: _Value, b: _Value) -> _Value:
    """Return the quotient by a power of two that divides what is common."""
    number = _number(b)
    if number is None or a.threads is None or a.step % (1 << number):
        return _ANY
    return _Value(a.threads >> number, a.step >> number)


def _masked(a: _Value, b: _Value) -> _Value:
    """Return the low bits, which what is common does not change, or all but the low bits."""
    for mask, other in ((a, b), (b, a)):
        number = _number(mask)
        if number is None or other.threads is None:
            continue
        if number >= 0 and other.step % (1 << number.bit_length()) == 0:
            return _Value(other.threads & number, step=0)
        lowest = number & -number
        if number in (-lowest, (1 << 32) - lowest) and other.step % lowest == 0:
            return _Value(other.threads & -lowest, other.step)
    return _ANY


def _number(value: _Value) -> int | None:
    """Return the number that all threads have, if it is known."""
    return int(_threads(value)[0]) if value.known and value.same else None


_EXACT: dict[str, Callable[..., _Threads]] = {
    "mov": lambda a: a,
    "cvt": lambda a: a,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": lambda a, b, c: a * b + c,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "bfe": lambda a, first, count: a >> first & (1 << count) - 1,
}
"""Operations on integers that are known in every thread."""

_COMPARED: dict[str, Callable[..., _Flags]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
"""Comparisons of such integers."""

_LINEAR: dict[str, Callable[..., _Value]] = {
    "mov": _itself,
    "cvt": _itself,
    "cvta": _itself,
    "add": _sum,
    "sub": _difference,
    "or": _sum,
    "mul": _product,
    "mad": lambda a, b, c: _sum(_product(a, b), c),
    "shl": _shifted,
    "shr": _shifted_back,
    "and": _masked,
}
"""Operations that keep how far integers are apart. Of numbers that are not known, compilers make
``or`` from a sum whose terms have no bit in common."""
