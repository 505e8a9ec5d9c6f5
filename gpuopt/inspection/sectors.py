"""The 32-byte sectors that the accesses of a warp to global memory touch, from PTX.

Of each register it is found by how much it differs between the threads of a block. That is all that
an address must be known by: what threads have in common (an address of the table, the beginning of
a chunk, the counter of a loop) moves the sectors, but does not change their number.
"""

from __future__ import annotations

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
        sectors: the most that a warp touches, if its first byte begins one; `UNKNOWN` if the
            addresses depend on values in memory that differ between threads.
    """

    store: bool
    masked: bool
    width: int
    sectors: int

    @property
    def floor(self) -> int:
        """The fewest sectors that hold the bytes of a warp."""
        return WARP * self.width // SECTOR


@dataclass(frozen=True)
class _Value:
    """An integer in each thread.

    Attributes:
        threads: the integers if they are known, else how far each is from that of thread 0; None
            if not even that is known.
        known: whether they are known.
    """

    threads: _Threads | None
    known: bool = False

    @property
    def same(self) -> bool:
        """Whether it is the same in all threads."""
        return self.threads is not None and bool((self.threads == self.threads[0]).all())

    def joined(self, other: _Value) -> _Value:
        """Return what holds for either."""
        if self.threads is None or other.threads is None:
            return _ANY
        if self.known and other.known and np.array_equal(self.threads, other.threads):
            return self
        own, others = _apart(self.threads), _apart(other.threads)
        return _Value(own) if np.array_equal(own, others) else _ANY

    def equals(self, other: _Value | None) -> bool:
        """Return whether the same is known of both."""
        if other is None or self.known != other.known:
            return False
        if self.threads is None or other.threads is None:
            return self.threads is other.threads
        return np.array_equal(self.threads, other.threads)


_ANY = _Value(None)

_Registers = dict[str, _Value]
"""What is known of the registers by name; parts packed in one have their index behind its name."""


def _apart(threads: _Threads) -> _Threads:
    apart: _Threads = threads - threads[0]
    return apart


def touched(entry: ptx.Entry, threads: int) -> tuple[Touched, ...]:
    """Return the distinct accesses of a kernel whose addresses differ between threads.

    Numbers that all threads read or write at one address (of the table, coefficients, partials) are
    left out: they are no elements.

    Args:
        entry: the kernel.
        threads: per block.
    """
    blocks, constants = entry.blocks, _Constants(threads)
    graph = flow.graph_of(blocks)
    skipped, begins = flow.skipped(graph), _at_the_beginnings(blocks, graph, constants)
    found = {
        one
        for index, begin in begins.items()
        for one in _touched(blocks[index], begin, constants, index in skipped)
    }
    return tuple(sorted(found))


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
            address = registers.get(place, _ANY)
            if not address.same:
                (access,) = ptx.accesses(flow.Block("", (one,)))
                sectors = _sectors(address.threads, access.width)
                yield Touched(access.store, skipped or access.guarded, access.width, sectors)
        _execute(one, registers, constants)


def _sectors(addresses: _Threads | None, width: int) -> int:
    if addresses is None:
        return UNKNOWN
    warps = addresses.reshape(-1, WARP)
    bytes_ = (warps - warps.min(axis=1, keepdims=True))[:, :, None] + np.arange(width)
    return max(len(np.unique(warp // SECTOR)) for warp in bytes_)


class _Constants:
    """What does not depend on registers.

    Attributes:
        tid: the index of each thread in its block.
        common: a value that is the same in all threads.
    """

    def __init__(self, threads: int) -> None:
        self.tid = _Value(np.arange(threads), known=True)
        self.common = _Value(np.zeros(threads, np.int64))

    def value(self, operand: str, registers: _Registers) -> _Value:
        """Return what is known of an operand."""
        if operand == "%tid.x":
            return self.tid
        if _INTEGER.match(operand):
            return _Value(np.full_like(_threads(self.tid), int(operand, 0)), known=True)
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
    integers = "{" not in one.operands and not ptx.is_float(one.opcode)
    if integers and one.name in _EXACT and all(value.known for value in values):
        return _Value(_EXACT[one.name](*map(_threads, values)), known=True)
    if all(value.same for value in values):
        return constants.common
    if integers and one.name in _LINEAR:
        return _LINEAR[one.name](*values)
    return _ANY


def _names(operand: str) -> list[str]:
    """Return the registers and numbers of an operand."""
    if operand.startswith("["):
        return re.findall(r"[%\w$.]+", operand)[:1]
    return operand.strip("{} ").replace(",", " ").split()


def _threads(value: _Value) -> _Threads:
    assert value.threads is not None
    return value.threads


def _moved(value: _Value) -> _Value:
    return value


def _sum(a: _Value, b: _Value) -> _Value:
    if a.threads is None or b.threads is None:
        return _ANY
    return _Value(_apart(a.threads) + _apart(b.threads))


def _difference(a: _Value, b: _Value) -> _Value:
    return _sum(a, _ANY if b.threads is None else _Value(-b.threads))


def _product(a: _Value, b: _Value) -> _Value:
    for factor, other in ((a, b), (b, a)):
        if factor.known and factor.same and other.threads is not None:
            return _Value(_apart(other.threads) * _threads(factor)[0])
    return _ANY


def _shifted(a: _Value, b: _Value) -> _Value:
    return _product(a, _Value(1 << _threads(b), known=True)) if b.known else _ANY


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
}
"""Operations on integers that are known in every thread."""

_LINEAR: dict[str, Callable[..., _Value]] = {
    "mov": _moved,
    "cvt": _moved,
    "cvta": _moved,
    "add": _sum,
    "sub": _difference,
    "or": _sum,
    "mul": _product,
    "mad": lambda a, b, c: _sum(_product(a, b), c),
    "shl": _shifted,
}
"""Operations that keep how far integers are apart. Of numbers that are not known, compilers make
``or`` from a sum whose terms have no bit in common."""
