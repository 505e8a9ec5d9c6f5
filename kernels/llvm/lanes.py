"""Partials of watched values, accumulated in lanes.

Lane j of a sum adds every `LANES`-th element of a chunk, starting at j; at the end the lanes are
added in pairs. The result does not depend on the processor's vector width.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .layout import LANES
from .vectors import DOUBLE, I16, I32, I64, WIDTH, constant, convert, halves, intrinsic, vector


class Lanes:
    """The accumulators of one watched value: lanes of sums and largest values, and a count."""

    def __init__(self, number: Any, sums_only: bool) -> None:
        """Choose the accumulators; ``number`` is the type of the value."""
        self._number, self._sums_only = number, sums_only
        kinds = [ir.ArrayType(DOUBLE, LANES), I64, vector(number)]
        self.type = ir.LiteralStructType(kinds)

    def _part(self, builder: Any, lanes: Any, part: int) -> Any:
        zero, index = constant(I32, 0), constant(I32, part)
        return builder.gep(lanes, [zero, index], source_etype=self.type)

    def _sums(self, builder: Any, lanes: Any, lane: Any) -> Any:
        return builder.gep(self._part(builder, lanes, 0), [lane], source_etype=DOUBLE)

    def clear(self, builder: Any, lanes: Any) -> None:
        """Set them to zero."""
        zero = ir.Constant(vector(DOUBLE), [0.0] * WIDTH)
        for j in range(0, LANES, WIDTH):
            builder.store(zero, self._sums(builder, lanes, constant(I64, j)), align=8)
        builder.store(constant(I64, 0), self._part(builder, lanes, 1))
        zero = ir.Constant(vector(self._number), [0.0] * WIDTH)
        builder.store(zero, self._part(builder, lanes, 2), align=8)

    def add(self, builder: Any, lanes: Any, lane: Any, vectors: list[Any], plain: bool) -> None:
        """Add the values of a unit, or their squares, to the sums from ``lane`` on."""
        for j, values in enumerate(vectors):
            wide = convert(builder, values, DOUBLE)
            added = wide if plain else builder.fmul(wide, wide)
            at = self._sums(builder, lanes, builder.add(lane, constant(I64, j * WIDTH)))
            old = builder.load(at, typ=vector(DOUBLE), align=8)
            builder.store(builder.fadd(old, added), at, align=8)
        if not self._sums_only:
            self._keep_largest(builder, lanes, vectors)

    def _keep_largest(self, builder: Any, lanes: Any, vectors: list[Any]) -> None:
        at = self._part(builder, lanes, 2)
        found = builder.load(at, typ=vector(self._number), align=8)
        for values in vectors:
            found = self._larger(builder, intrinsic(builder, "fabs", values), found)
        builder.store(found, at, align=8)

    def count(self, builder: Any, lanes: Any, vectors: list[Any]) -> None:
        """Count the infinite and NaN values of a unit."""
        at = self._part(builder, lanes, 1)
        found = builder.load(at, typ=I64)
        for values in vectors:
            nothing = builder.fsub(values, values)
            others = builder.bitcast(builder.fcmp_unordered("uno", nothing, nothing), I16)
            own = builder.zext(intrinsic(builder, "ctpop", others), I64)
            found = builder.add(found, own)
        builder.store(found, at)

    def store(self, builder: Any, lanes: Any, partials: Any) -> None:
        """Write `kernels.table.PARTIALS`."""
        total = self._total(builder, lanes)
        others = builder.uitofp(builder.load(self._part(builder, lanes, 1), typ=I64), DOUBLE)
        rows = builder.load(self._part(builder, lanes, 2), typ=vector(self._number), align=8)
        largest = convert(builder, self._reduce_halves(builder, rows, self._larger), DOUBLE)
        write(builder, partials, (total, largest, others))

    def _total(self, builder: Any, lanes: Any) -> Any:
        """Add the lanes in pairs."""
        like = vector(DOUBLE)
        parts = [
            builder.load(self._sums(builder, lanes, constant(I64, j)), typ=like, align=8)
            for j in range(0, LANES, WIDTH)
        ]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(a, b) for a, b in zip(parts[:half], parts[half:])]
        return self._reduce_halves(builder, parts[0], lambda builder, a, b: builder.fadd(a, b))

    @staticmethod
    def _larger(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    @staticmethod
    def _reduce_halves(builder: Any, values: Any, combine: Any) -> Any:
        """Combine the two halves of a vector until one number is left."""
        while values.type.count > 1:
            values = combine(builder, *halves(builder, values))
        return builder.extract_element(values, constant(I32, 0))


def write(builder: Any, partials: Any, values: tuple[Any, ...]) -> None:
    """Write the partials of a chunk."""
    for i, value in enumerate(values):
        at = builder.gep(partials, [constant(I64, i)], source_etype=DOUBLE)
        builder.store(value, at, align=8)


def erase(builder: Any, partials: Any) -> None:
    """Write the partials of an inactive tensor's chunk."""
    write(builder, partials, (constant(DOUBLE, 0.0),) * 3)


def counted(builder: Any, valid: Any, values: Any) -> Any:
    """Return values with zeros in place of those that are not ``valid``.

    The fence prevents LLVM from merging this into a masked load: one that also converts to float64
    takes several cycles on AMD processors with AVX-512.
    """
    values = intrinsic(builder, "arithmetic.fence", values)
    return builder.select(valid, values, constant(values.type, 0.0))
