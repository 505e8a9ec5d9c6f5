"""The loop over units: `BLOCK` consecutive elements of a tensor, in two vectors.

A unit is also a block of codes that share a scale, and the elements for which one vector of Philox
counters gives random words. All values of a unit stay in registers from its loads to its stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llvmlite import ir

from ..storage import BLOCK, compute_dtype
from ..table import Update
from ..trace.operations import Trace, trace
from . import storage
from .lanes import Lanes, counted
from .layout import LANES
from .operations import emit, uniform, without
from .philox import keys, random_words
from .scales import largest
from .vectors import (
    FLOAT,
    I32,
    I64,
    POINTER,
    WIDTH,
    bits_of,
    constant,
    convert,
    intrinsic,
    loop,
    splat,
    vector,
)

VECTORS = BLOCK // WIDTH
"""The vectors of a unit."""

GROUP = 8
"""The number of units that are updated before they are encoded. A unit's codes depend on its scale;
meanwhile the processor can work on the next units."""


class Units:
    """An LLVM function: ``units(lists..., coefficients, count, element, valid, lanes...)``.

    It updates ``count`` units, starting at the addresses in ``lists``. Only the first ``valid``
    elements of the last unit count: the others are computed, but ignored in scales and partials.
    ``element`` is the index of the first element in its tensor.
    """

    def __init__(self, module: Any, update: Update, dtypes: tuple[str, ...]) -> None:
        """Emit the function into a module.

        Args:
            module: the LLVM module.
            update: the composed update.
            dtypes: the dtype of each list.
        """
        self._update, self._dtypes = update, dtypes
        self.number = storage.ITEMS[compute_dtype(dtypes[0])]
        self.scales = {scale for _, scale in update.blocked}
        self.coded = {row: scale for row, scale in update.blocked if row in update.written}
        """For each row of codes that it writes, the row of their scales."""
        self._kept_words: dict[int, Any] = {}
        self.rows = sorted({*update.read, *update.written, *self.coded.values()})
        count = len(update.watched_names)
        self.plain = [i >= count - update.n_plain for i in range(count)]
        self.lanes = [Lanes(self.number, update.wants_sums or plain) for plain in self.plain]
        kinds = [POINTER] * (len(self.rows) + 1) + [I64, I64, I32]
        kinds += [POINTER] * len(self.lanes)
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "units")
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self._emit()

    # --- the loop -----------------------------------------------------------------------------

    def _emit(self) -> None:
        arguments = list(self.function.args)
        self._lists = dict(zip(self.rows, arguments))
        coefficients, count, element, valid, *self._lanes_at = arguments[len(self.rows) :]
        builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self._prepare(builder, coefficients, valid)
        if self.coded:
            shared = set(self._update.random_streams) & set(self._update.encode_streams)
            self._kept = {row: self._memory(builder, self.number) for row in self.coded}
            self._kept_words = {stream: self._memory(builder, I32) for stream in shared}

            def group(first: Any) -> None:
                end = builder.add(first, constant(I64, GROUP))
                end = intrinsic(builder, "smin", end, count)
                loop(builder, first, end, lambda unit: self._unit(builder, unit, element))
                loop(builder, first, end, lambda unit: self._encode(builder, unit, element))

            loop(builder, constant(I64, 0), count, group, GROUP)
        else:
            loop(builder, constant(I64, 0), count, lambda unit: self._unit(builder, unit, element))
        builder.ret_void()

    def _memory(self, builder: Any, item: Any) -> Any:
        found = builder.alloca(vector(item, GROUP * BLOCK))
        found.align, found.type = 64, POINTER
        return found

    def _prepare(self, builder: Any, coefficients: Any, valid: Any) -> None:
        """Emit the values that are the same for all units."""
        update = self._update
        self._coefficients = {
            name: builder.load(self._at(builder, coefficients, i, self.number), typ=self.number)
            for i, name in enumerate(update.coefficient_names)
        }
        if update.random_streams or update.encode_streams:
            self._keys = keys(builder, self._coefficients)
        ends = splat(builder, valid)
        self._valid = [
            builder.icmp_signed("<", ir.Constant(vector(I32), [*range(b, b + WIDTH)]), ends)
            for b in range(0, BLOCK, WIDTH)
        ]
        self._traced = self._hoist(builder, update.function, update.coefficient_names)
        self._rounded = self._bfloat16_rows()
        if update.encode_function is not None:
            self._encoding = self._hoist(
                builder, update.encode_function, update.encode_coefficients
            )

    def _hoist(
        self, builder: Any, function: Any, names: tuple[str, ...]
    ) -> tuple[Trace, tuple[str, ...], dict[str, Any]]:
        """Trace a function, and emit the part that depends only on its coefficients."""
        count = function.__code__.co_argcount
        arguments = tuple(f"a{i}" for i in range(count))
        traced = trace(function, arguments)
        last = arguments[count - len(names) :] if names else ()
        known = {a: self._coefficients[name] for a, name in zip(last, names)}
        part = uniform(traced, last)
        known |= dict(zip(part.results, emit(builder, part, known, self.number)))
        return without(traced, part.results), arguments, known

    def _at(self, builder: Any, pointer: Any, index: Any, item: Any) -> Any:
        index = index if isinstance(index, ir.Value) else constant(I64, index)
        return builder.gep(pointer, [index], source_etype=item)

    # --- a unit -------------------------------------------------------------------------------

    def _unit(self, builder: Any, unit: Any, element: Any) -> None:
        """Update a unit; keep values to be encoded, and their maxima, for `_encode`."""
        update = self._update
        element = self._element(builder, unit, element)
        lane = builder.and_(element, constant(I64, LANES - 1))
        scales = {
            row: self._load_scale(builder, row, unit) for row in self.scales if row in update.read
        }
        at = {
            row: self._elements_at(builder, row, unit)
            for row in self.rows
            if row not in self.scales
        }
        words = self._words(builder, update.random_streams, element)
        stored = {
            row: [self._load(builder, row, at[row], j) for j in range(VECTORS)]
            for row in at
            if row in update.read
        }
        coded: dict[int, list[Any]] = {row: [] for row in self.coded}
        watched: list[list[Any]] = [[] for _ in self.lanes]
        for j in range(VECTORS):
            results = self._updated(builder, j, stored, scales, words)
            for row, result in zip(update.written, results):
                if row in coded:
                    coded[row].append(counted(builder, self._valid[j], result))
                else:
                    self._store(builder, row, at[row], j, result)
            for vectors, values in zip(watched, results[len(update.written) :]):
                vectors.append(counted(builder, self._valid[j], values))
        for i, vectors in enumerate(watched):
            self._watch(builder, i, lane, vectors)
        for row in self.coded:
            self._keep(builder, self._kept[row], unit, coded[row])
        self._store_scales(builder, unit, coded)
        for stream, memory in self._kept_words.items():
            self._keep(builder, memory, unit, words[stream])

    def _element(self, builder: Any, unit: Any, element: Any) -> Any:
        return builder.add(element, builder.mul(unit, constant(I64, BLOCK)))

    def _words(self, builder: Any, streams: tuple[int, ...], element: Any) -> dict[int, Any]:
        return {k: random_words(builder, element, k, *self._keys) for k in streams}

    def _load_scale(self, builder: Any, row: int, unit: Any) -> Any:
        at = self._at(builder, self._lists[row], unit, FLOAT)
        return convert(builder, builder.load(at, typ=FLOAT, align=4), self.number)

    def _keep(self, builder: Any, memory: Any, unit: Any, vectors: list[Any]) -> None:
        """Store the vectors of a unit for `_encode`."""
        for j, values in enumerate(vectors):
            at = self._kept_at(builder, memory, unit, j, values.type.element)
            builder.store(values, at, align=4)

    def _load_kept(self, builder: Any, memory: Any, unit: Any, item: Any) -> list[Any]:
        """Load what `_keep` stored."""
        places = [self._kept_at(builder, memory, unit, j, item) for j in range(VECTORS)]
        return [builder.load(at, typ=vector(item), align=4) for at in places]

    def _kept_at(self, builder: Any, memory: Any, unit: Any, j: int, item: Any) -> Any:
        first = builder.mul(builder.and_(unit, constant(I64, GROUP - 1)), constant(I64, BLOCK))
        return self._at(builder, memory, builder.add(first, constant(I64, j * WIDTH)), item)

    def _updated(
        self,
        builder: Any,
        j: int,
        stored: Mapping[int, Any],
        scales: Mapping[int, Any],
        words: Mapping[int, Any],
    ) -> list[Any]:
        """Return the results of the update for one vector of a unit."""
        update = self._update
        traced, arguments, known = self._traced
        values = [
            scales[row]
            if row in scales
            else storage.decode(builder, stored[row][j], self._dtypes[row], self.number)
            for row in update.read
        ]
        values += [words[k][j] for k in update.random_streams]
        results = emit(builder, traced, {**known, **dict(zip(arguments, values))}, self.number)
        return [splat(builder, result) for result in results]

    def _bfloat16_rows(self) -> frozenset[int]:
        """Return the lists whose new values are rounded to bfloat16 already."""
        traced, _, _ = self._traced
        rounded = {o.result for o in traced.operations if o.name in storage.TO_BFLOAT16}
        results = zip(self._update.written, traced.results)
        return frozenset(row for row, result in results if result in rounded)

    def _encode(self, builder: Any, unit: Any, element: Any) -> None:
        """Compute the codes of a unit."""
        update = self._update
        element = self._element(builder, unit, element)
        new = tuple(k for k in update.encode_streams if k not in self._kept_words)
        words = self._words(builder, new, element)
        for stream, memory in self._kept_words.items():
            words[stream] = self._load_kept(builder, memory, unit, I32)
        kept = [
            self._load_kept(builder, memory, unit, self.number) for memory in self._kept.values()
        ]
        scales = [self._load_scale(builder, row, unit) for row in self.coded.values()]
        at = {row: self._elements_at(builder, row, unit) for row in self.coded}
        traced, arguments, known = self._encoding
        for j in range(VECTORS):
            values = [
                *(vectors[j] for vectors in kept),
                *scales,
                *(words[k][j] for k in update.encode_streams),
            ]
            results = emit(builder, traced, {**known, **dict(zip(arguments, values))}, self.number)
            for row, result in zip(self.coded, results):
                self._store(builder, row, at[row], j, splat(builder, result))

    def _store_scales(self, builder: Any, unit: Any, coded: Mapping[int, list[Any]]) -> None:
        """Store the scales of a unit; as integers, the bits of NaN exceed those of all numbers."""
        sizes = []
        for vectors in coded.values():
            bits = [bits_of(builder, convert(builder, v, FLOAT)) for v in vectors]
            bits = [builder.and_(x, constant(x.type, 0x7FFFFFFF)) for x in bits]
            sizes.append(intrinsic(builder, "umax", *bits))
        for row, found in zip(self.coded.values(), largest(builder, sizes)):
            at = self._at(builder, self._lists[row], unit, FLOAT)
            builder.store(found, at, align=4)

    def _watch(self, builder: Any, i: int, lane: Any, vectors: list[Any]) -> None:
        lanes, at, plain = self.lanes[i], self._lanes_at[i], self.plain[i]
        lanes.add(builder, at, lane, vectors, plain)
        if not plain and (self._update.wants_counts or not self._update.wants_sums):
            lanes.count(builder, at, vectors)

    # --- memory -------------------------------------------------------------------------------

    def item(self, row: int) -> Any:
        """Return the type of a list's items."""
        return storage.ITEMS[self._dtypes[row]]

    def _elements_at(self, builder: Any, row: int, unit: Any) -> Any:
        first = builder.mul(unit, constant(I64, BLOCK))
        return self._at(builder, self._lists[row], first, self.item(row))

    def _load(self, builder: Any, row: int, at: Any, j: int) -> Any:
        item, align = self.item(row), storage.itemsize(self._dtypes[row])
        at = self._at(builder, at, j * WIDTH, item)
        return builder.load(at, typ=vector(item), align=align)

    def _store(self, builder: Any, row: int, at: Any, j: int, value: Any) -> None:
        item, align = self.item(row), storage.itemsize(self._dtypes[row])
        at = self._at(builder, at, j * WIDTH, item)
        if self._dtypes[row] == "bfloat16" and row in self._rounded:
            stored = storage.cut_bfloat16(builder, value)
        else:
            stored = storage.encode(builder, value, self._dtypes[row])
        builder.store(stored, at, align=align)
