"""The loop over the chunks of a table, as an LLVM module.

It works on raw addresses, does not allocate or raise, and never calls Python.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ..storage import BLOCK
from ..table import PARTIALS, Update
from . import storage
from .lanes import erase
from .layout import CHUNK, TABLE
from .units import Units
from .vectors import DOUBLE, I32, I64, POINTER, constant, loop, vector


def module_of(update: Update, dtypes: tuple[str, ...], name: str) -> Any:
    """Return a module with one public function, ``name(table, first, last)``.

    It walks the chunks from ``first`` to ``last``; ``table`` points to the numbers that
    `layout.TABLE` names.

    Args:
        update: the composed update.
        dtypes: the dtype of each list.
        name: the name of the function.
    """
    module = ir.Module(name)
    units = Units(module, update, dtypes)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    function = ir.Function(module, kind, name)
    _Walk(function, units, update, dtypes).emit()
    return module


class _Walk:
    def __init__(
        self, function: Any, units: Units, update: Update, dtypes: tuple[str, ...]
    ) -> None:
        self._units, self._update, self._dtypes = units, update, dtypes
        self._function = function
        self._builder = ir.IRBuilder(function.append_basic_block("entry"))

    def emit(self) -> None:
        """Emit the function."""
        builder = self._builder
        where, first, last = self._function.args
        self._table = {
            name: builder.load(
                builder.gep(where, [constant(I64, i)], source_etype=I64),
                typ=I64 if name == "tensors" else POINTER,
            )
            for i, name in enumerate(TABLE)
        }
        self._lanes = [self._memory(lanes.type) for lanes in self._units.lanes]
        self._buffers = {
            row: self._memory(vector(self._units.item(row), BLOCK))
            for row in self._units.rows
            if row not in self._units.scales
        }
        loop(builder, first, last, self._chunk)
        builder.ret_void()

    def _memory(self, kind: Any) -> Any:
        found = self._builder.alloca(kind)
        found.align, found.type = 64, POINTER
        return found

    def _number(self, name: str, index: Any, item: Any = I64) -> Any:
        builder = self._builder
        return builder.load(builder.gep(self._table[name], [index], source_etype=item), typ=item)

    def _chunk(self, k: Any) -> None:
        builder = self._builder
        twice = builder.shl(k, constant(I64, 1))
        after = builder.or_(twice, constant(I64, 1))
        tensor = builder.sext(self._number("chunks", twice, I32), I64)
        chunk = builder.sext(self._number("chunks", after, I32), I64)
        begin = builder.mul(chunk, constant(I64, CHUNK))
        left = builder.sub(self._number("sizes", tensor), begin)
        is_last = builder.icmp_signed("<", left, constant(I64, CHUNK))
        count = builder.select(is_last, left, constant(I64, CHUNK))
        gradient = builder.add(self._table["tensors"], tensor)
        address = self._number("addresses", gradient)
        is_active = builder.icmp_signed("!=", address, constant(I64, 0))
        with builder.if_else(is_active) as (active, inactive):
            with active:
                self._active(k, tensor, begin, count)
            with inactive:
                for i in range(len(self._lanes)):
                    erase(builder, self._partials(k, i))

    def _active(self, k: Any, tensor: Any, begin: Any, count: Any) -> None:
        builder, units = self._builder, self._units
        for lanes, at in zip(units.lanes, self._lanes):
            lanes.clear(builder, at)
        n_coefficients = constant(I64, len(self._update.coefficient_names))
        coefficients = builder.gep(
            self._table["coefficients"],
            [builder.mul(tensor, n_coefficients)],
            source_etype=units.number,
        )
        lists = {row: self._address(row, tensor, begin) for row in units.rows}
        whole = builder.lshr(count, constant(I64, BLOCK.bit_length() - 1))
        rest = builder.and_(count, constant(I64, BLOCK - 1))
        with builder.if_then(builder.icmp_signed(">", whole, constant(I64, 0))):
            self._call(lists, coefficients, whole, begin, constant(I32, BLOCK))
        with builder.if_then(builder.icmp_signed(">", rest, constant(I64, 0))):
            done = builder.shl(whole, constant(I64, BLOCK.bit_length() - 1))
            ends = {row: self._moved(row, at, done) for row, at in lists.items()}
            self._rest(ends, coefficients, builder.add(begin, done), rest)
        for i, (lanes, at) in enumerate(zip(units.lanes, self._lanes)):
            lanes.store(builder, at, self._partials(k, i))

    def _rest(self, lists: dict[int, Any], coefficients: Any, element: Any, count: Any) -> None:
        """Update the last elements of a tensor, less than a unit, in unit-sized buffers."""
        builder = self._builder
        read = [row for row in self._buffers if row in self._update.read]
        written = [row for row in self._buffers if row in {*self._update.written}]
        for row in read:
            kind = vector(self._units.item(row), BLOCK)
            builder.store(ir.Constant(kind, None), self._buffers[row])
        self._copy(read, lists, self._buffers, count)
        valid = builder.trunc(count, I32)
        self._call({**lists, **self._buffers}, coefficients, constant(I64, 1), element, valid)
        self._copy(written, self._buffers, lists, count)

    def _copy(
        self, rows: list[int], source: dict[int, Any], target: dict[int, Any], count: Any
    ) -> None:
        def item(i: Any) -> None:
            for row in rows:
                kind, align = self._units.item(row), storage.itemsize(self._dtypes[row])
                here, there = (
                    self._builder.gep(of[row], [i], source_etype=kind) for of in (source, target)
                )
                value = self._builder.load(here, typ=kind, align=align)
                self._builder.store(value, there, align=align)

        loop(self._builder, constant(I64, 0), count, item)

    def _call(
        self, lists: dict[int, Any], coefficients: Any, count: Any, element: Any, valid: Any
    ) -> None:
        pointers = [lists[row] for row in self._units.rows]
        arguments = [*pointers, coefficients, count, element, valid, *self._lanes]
        self._builder.call(self._units.function, arguments)

    def _address(self, row: int, tensor: Any, begin: Any) -> Any:
        """Return the address of a list's item for element ``begin`` of a tensor."""
        builder = self._builder
        before = builder.mul(self._table["tensors"], constant(I64, row))
        first = self._number("addresses", builder.add(before, tensor), POINTER)
        return self._moved(row, first, begin)

    def _moved(self, row: int, at: Any, elements: Any) -> Any:
        if row in self._units.scales:
            elements = self._builder.lshr(elements, constant(I64, BLOCK.bit_length() - 1))
        return self._builder.gep(at, [elements], source_etype=self._units.item(row))

    def _partials(self, k: Any, i: int) -> Any:
        builder = self._builder
        rows = builder.mul(k, constant(I64, len(self._lanes) * len(PARTIALS)))
        first = builder.add(rows, constant(I64, i * len(PARTIALS)))
        return builder.gep(self._table["partials"], [first], source_etype=DOUBLE)
