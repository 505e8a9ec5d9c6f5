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
    values = _Values(threads)
    while any([values.learn(one) for one in entry.instructions]):
        pass
    return tuple(sorted(set(_touched(entry.blocks, values))))


def _touched(blocks: Sequence[flow.Block], values: _Values) -> Iterator[Touched]:
    skipped = flow.skipped(flow.graph_of(blocks))
    for index, block in enumerate(blocks):
        for one in filter(ptx.is_global_access, block.instructions):
            address = values.address(one)
            if not address.same:
                (access,) = ptx.accesses(flow.Block("", (one,)))
                masked = index in skipped or access.guarded
                sectors = _sectors(address.threads, access.width)
                yield Touched(access.store, masked, access.width, sectors)


def _sectors(addresses: _Threads | None, width: int) -> int:
    if addresses is None:
        return UNKNOWN
    warps = addresses.reshape(-1, WARP)
    bytes_ = (warps - warps.min(axis=1, keepdims=True))[:, :, None] + np.arange(width)
    return max(len(np.unique(warp // SECTOR)) for warp in bytes_)


class _Values:
    """What is known of the registers, in any order of the instructions.

    A register that several instructions write has what holds for all of them.
    """

    def __init__(self, threads: int) -> None:
        self._registers: dict[str, _Value] = {}
        self._tid = np.arange(threads)
        self._common = _Value(np.zeros(threads, np.int64))

    def learn(self, one: flow.Instruction) -> bool:
        """Take account of an instruction; return whether it says anything new."""
        first, *rest = _OPERAND.findall(one.operands) or [""]
        if one.name in ("st", "bra", "bar") or not first.startswith(("%", "{")):
            return False
        found = self._result(one, rest)
        return found is not None and any([self._assign(r, found) for r in _REGISTER.findall(first)])

    def _assign(self, register: str, value: _Value) -> bool:
        before = self._registers.get(register)
        after = value if before is None else before.joined(value)
        self._registers[register] = after
        return not after.equals(before)

    def address(self, access: flow.Instruction) -> _Value:
        """Return the address of an access."""
        (place,) = re.findall(r"\[\s*(%\w+)", access.operands)
        return self._registers.get(place, _ANY)

    def _result(self, one: flow.Instruction, operands: Sequence[str]) -> _Value | None:
        """Return the result of an instruction; None while an operand is not known yet."""
        if one.name == "ld" and "param" in one.opcode.split("."):
            return self._common
        given = [self._value(name) for operand in operands for name in _names(operand)]
        values = [value for value in given if value is not None]
        if len(values) < len(given):
            return None
        if one.name in ("ld", "shfl", "redux", "activemask"):
            return self._common if one.name == "ld" and values[0].same else _ANY
        integers = "{" not in one.operands and not ptx.is_float(one.opcode)
        if integers and one.name in _EXACT and all(value.known for value in values):
            return _Value(_EXACT[one.name](*(_threads(value) for value in values)), known=True)
        if all(value.same for value in values):
            return self._common
        if integers and one.name in _LINEAR:
            return _LINEAR[one.name](*values)
        return _ANY

    def _value(self, operand: str) -> _Value | None:
        if operand == "%tid.x":
            return _Value(self._tid, known=True)
        if _INTEGER.match(operand):
            return _Value(np.full_like(self._tid, int(operand, 0)), known=True)
        if _COMMON.match(operand):
            return self._common
        return self._registers.get(operand) if _REGISTER.fullmatch(operand) else _ANY


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
