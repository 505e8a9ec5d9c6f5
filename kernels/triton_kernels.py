"""What Triton compiles: the walk over the table, and the coefficients of its tensors.

The rule and its coefficients are the NumPy functions themselves, compiled with ``np`` pointed
at Triton's exactly rounded operations. Nothing here knows a formula.
"""

from __future__ import annotations

import os
from types import FunctionType, ModuleType
from typing import Any

import triton
import triton.language as tl

from .retarget import retarget
from .roundings import ROUNDS
from .triton_source import reworded

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run in Triton's interpreter, on the CPU."""

_INTERPRETED = tl.constexpr(INTERPRETED)
_ROUNDS = tl.constexpr(ROUNDS)


# --- what np is inside a rule --------------------------------------------------------------


@triton.jit
def _divide(a, b):
    if a.dtype == tl.float64:
        return a / b
    else:
        return tl.div_rn(a, b)


@triton.jit
def _sqrt(a):
    if a.dtype == tl.float64:
        return tl.sqrt(a)
    else:
        return tl.sqrt_rn(a)


@triton.jit
def _abs(a):
    return tl.abs(a)


@triton.jit
def _where(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def _maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _minimum(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _float32(value):
    return tl.full((), value, tl.float32)


@triton.jit
def _float64(value):
    return tl.full((), value, tl.float64)


@triton.jit
def _power(base, exponent):
    """The squarings of gpuopt.rules.power, for exponents below 2**53 held in float64."""
    n = tl.maximum(exponent.to(tl.int64), 0)
    result = tl.full(n.shape, 1.0, tl.float64)
    base = base * result
    for _ in range(53):
        result = tl.where((n & 1) == 1, result * base, result)
        base = base * base
        n = n >> 1
    return result


@triton.jit
def _real_power(base, exponent):
    """The squarings and square roots of gpuopt.rules.real_power."""
    ones = tl.full((base + exponent).shape, 1.0, tl.float64)
    base, exponent = base * ones, exponent * ones
    magnitude = tl.minimum(tl.abs(exponent), 9223372036854774784.0 * ones)
    n = magnitude.to(tl.int64)
    fraction = magnitude - n.to(tl.float64)
    result, square = ones, base
    for _ in range(63):
        result = tl.where((n & 1) == 1, result * square, result)
        square = square * square
        n = n >> 1
    for _ in range(52):
        base = tl.sqrt(base)
        fraction = fraction + fraction
        taken = fraction >= 1.0
        result = tl.where(taken, result * base, result)
        fraction = tl.where(taken, fraction - 1.0, fraction)
    result = tl.where(exponent < 0.0, ones / result, result)
    return tl.where(exponent == exponent, result, exponent)


# --- roundings: those of kernels.roundings, bit for bit -------------------------------------


@triton.jit
def _nearest_bfloat16_bits(x):
    bits = x.to(tl.uint32, bitcast=True)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return tl.where(x == x, bits & 0xFFFF0000, 0x7FC00000)


@triton.jit
def _round_bfloat16(x):
    return _nearest_bfloat16_bits(x).to(tl.float32, bitcast=True)


@triton.jit
def _round_float16(x):
    return x.to(tl.float16).to(tl.float32)


@triton.jit
def _philox_word(block, step, seed, which):
    """One of the words of kernels.roundings.philox."""
    c0, c1 = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    c2, c3 = step.to(tl.uint32), (step >> 32).to(tl.uint32)
    k0, k1 = seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    m0, m1 = tl.full((), 0xD2511F53, tl.uint32), tl.full((), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(_ROUNDS):
        a, b = c0, c2
        c0 = tl.umulhi(b, m1) ^ c1 ^ k0
        c1 = b * m1
        c2 = tl.umulhi(a, m0) ^ c3 ^ k1
        c3 = a * m0
        k0 = k0 + 0x9E3779B9
        k1 = k1 + 0xBB67AE85
    first = tl.where(which == 0, c0, c1)
    return tl.where(which < 2, first, tl.where(which == 2, c2, c3))


@triton.jit
def _whole(high, low):
    return high.to(tl.int64) * 65536 + low.to(tl.int64)


@triton.jit
def _stochastic_bfloat16(x, element, seed_high, seed_low, step_high, step_low):
    """The place of an element comes in two parts: the first of the block, and the lane.

    So the compiler sees that four neighbours share one block of Philox, and computes it once.
    """
    seed, step = _whole(seed_high, seed_low), _whole(step_high, step_low)
    block = (element[0] >> 2) + ((element[1] & 0xFFFC) >> 2)
    word = _philox_word(block, step, seed, element[1] & 3)
    bits = (x.to(tl.uint32, bitcast=True) + (word & 0xFFFF)) & 0xFFFF0000
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


ROUNDINGS = {
    "round_bfloat16": _round_bfloat16,
    "round_float16": _round_float16,
    "stochastic_bfloat16": _stochastic_bfloat16,
}


def _library(literal: Any) -> ModuleType:
    library = ModuleType("triton_maths")
    vars(library).update(
        divide=_divide,
        sqrt=_sqrt,
        abs=_abs,
        where=_where,
        maximum=_maximum,
        minimum=_minimum,
        literal=literal,
    )
    return library


LIBRARIES = {"float32": _library(_float32), "float64": _library(_float64)}


def jit(function: Any, compute: str) -> Any:
    """Compile a NumPy rule, or a function of coefficients, for Triton.

    Args:
        function: the rule.
        compute: the dtype of its values.
    """
    names = {"tl": tl, "power": _power, "real_power": _real_power, **ROUNDINGS}
    return retarget(function, LIBRARIES[compute], _jit, extra_globals=names)


def _jit(function: FunctionType) -> Any:
    return triton.jit(reworded(function))


# --- memory --------------------------------------------------------------------------------


@triton.jit
def _decode(stored, COMPUTE: tl.constexpr):
    if _INTERPRETED and stored.dtype == tl.bfloat16:
        # The interpreter loses denormals and the sign of zero; as kernels.storage does, this not.
        bits = stored.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        stored = bits.to(tl.float32, bitcast=True)
    return stored.to(COMPUTE)


@triton.jit
def _load(pointers, offsets, mask, MASKED: tl.constexpr, COMPUTE: tl.constexpr, READ: tl.constexpr):
    values = ()
    for i in tl.static_range(len(READ)):
        if MASKED:
            stored = tl.load(pointers[READ[i]] + offsets, mask=mask)
        else:
            stored = tl.load(pointers[READ[i]] + offsets)
        values = values + (_decode(stored, COMPUTE),)
    return values


@triton.jit
def _encode(value, DTYPE: tl.constexpr):
    if DTYPE.primitive_bitwidth == 16:
        value = value.to(tl.float32)  # float64 goes to 16 bits by way of float32, everywhere
    if _INTERPRETED and DTYPE == tl.bfloat16:
        # The interpreter cuts low bits off and loses denormals; as kernels.storage does, this not.
        bits = value.to(tl.uint32, bitcast=True)
        bits = tl.where(value == value, bits + 0x7FFF + ((bits >> 16) & 1), 0x7FC00000)
        return (bits >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return value.to(DTYPE)


@triton.jit
def _store(
    pointers,
    offsets,
    mask,
    results,
    DTYPES: tl.constexpr,
    WRITTEN: tl.constexpr,
    MASKED: tl.constexpr,
):
    for i in tl.static_range(len(WRITTEN)):
        value = _encode(results[i], DTYPES[WRITTEN[i]])
        if MASKED:
            tl.store(pointers[WRITTEN[i]] + offsets, value, mask=mask)
        else:
            tl.store(pointers[WRITTEN[i]] + offsets, value)


# --- sums and maxima -----------------------------------------------------------------------


@triton.jit
def _nothing_seen(BLOCK: tl.constexpr, COMPUTE: tl.constexpr, N_WATCHED: tl.constexpr):
    """Return for each watched value, and each place of a block, what was seen so far."""
    sums, largest, others = (), (), ()
    for _ in tl.static_range(N_WATCHED):
        sums = sums + (tl.zeros((BLOCK,), tl.float64),)
        largest = largest + (tl.zeros((BLOCK,), COMPUTE),)
        others = others + (tl.zeros((BLOCK,), tl.int32),)
    return sums, largest, others


@triton.jit
def _is_no_number(value):
    """Whether values are infinite or NaN; by their bits, which no compiler makes shorter."""
    if value.dtype == tl.float64:
        exponent = (value.to(tl.uint64, bitcast=True) >> 32).to(tl.uint32) & 0x7FF00000
        return exponent == 0x7FF00000
    else:
        return (value.to(tl.uint32, bitcast=True) & 0x7F800000) == 0x7F800000


@triton.jit
def _see(seen, results, mask, MASKED: tl.constexpr, FIRST: tl.constexpr, N_WATCHED: tl.constexpr):
    """Take the watched values of a block, which stand behind the results that are stored."""
    sums, largest, others = (), (), ()
    for i in tl.static_range(N_WATCHED):
        value = results[FIRST + i]
        if MASKED:
            value = tl.where(mask, value, 0.0)
        size, wide = tl.abs(value), value.to(tl.float64)
        sums = sums + (tl.fma(wide, wide, seen[0][i]),)
        largest = largest + (tl.where(size > seen[1][i], size, seen[1][i]),)
        others = others + (seen[2][i] + _is_no_number(value).to(tl.int32),)
    return sums, largest, others


@triton.jit
def _put(partials_ptr, seen, N_WATCHED: tl.constexpr):
    """Write the partials of a chunk, as kernels.table.PARTIALS says."""
    for i in tl.static_range(N_WATCHED):
        tl.store(partials_ptr + 3 * i, tl.sum(seen[0][i]))
        tl.store(partials_ptr + 3 * i + 1, tl.max(seen[1][i]).to(tl.float64))
        tl.store(partials_ptr + 3 * i + 2, tl.sum(seen[2][i]).to(tl.float64))


# --- the kernels ---------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n_tensors"])
def multi_tensor_update(
    addresses_ptr,
    sizes_ptr,
    chunks_ptr,
    coefficients_ptr,
    skip_ptr,
    partials_ptr,
    n_tensors,
    UPDATE: tl.constexpr,
    DTYPES: tl.constexpr,
    READ: tl.constexpr,
    WRITTEN: tl.constexpr,
    N_WATCHED: tl.constexpr,
    COUNTS: tl.constexpr,
    CLEARS: tl.constexpr,
    COMPUTE: tl.constexpr,
    N_COEFFICIENTS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Update one chunk of one tensor; the arguments are `gpuopt.table.Table`'s."""
    program = tl.program_id(0).to(tl.int64)
    tensor = tl.load(chunks_ptr + 2 * program).to(tl.int64)
    begin = tl.load(chunks_ptr + 2 * program + 1).to(tl.int64) * CHUNK
    left = tl.load(sizes_ptr + tensor) - begin
    rests = tl.load(addresses_ptr + n_tensors + tensor) == 0
    own_partials_ptr = partials_ptr + program * (3 * N_WATCHED)
    if rests:
        for i in tl.static_range(3 * N_WATCHED):
            tl.store(own_partials_ptr + i, tl.full((), 0.0, tl.float64))
        return
    pointers = ()
    for i in tl.static_range(len(DTYPES)):
        address = tl.load(addresses_ptr + i * n_tensors + tensor)
        pointer = address.to(tl.pointer_type(DTYPES[i])) + begin
        pointers = pointers + (tl.multiple_of(pointer, VECTOR),)
    lanes = tl.arange(0, BLOCK)
    if tl.load(skip_ptr) != 0.0:
        if CLEARS:
            for at in range(0, CHUNK, BLOCK):
                zeros = tl.zeros((BLOCK,), DTYPES[1])
                tl.store(pointers[1] + (at + lanes), zeros, mask=at + lanes < left)
        return
    coefficients = ()
    for i in tl.static_range(N_COEFFICIENTS):
        value = tl.load(coefficients_ptr + tensor * N_COEFFICIENTS + i)
        coefficients = coefficients + (value,)
    seen = _nothing_seen(BLOCK, COMPUTE, N_WATCHED)
    if left >= CHUNK:
        for first in range(0, CHUNK, BLOCK):
            offsets = first + lanes
            values = _load(pointers, offsets, None, False, COMPUTE, READ)
            if COUNTS:
                values = values + ((begin + first, lanes),)
            results = UPDATE(*values, *coefficients)
            _store(pointers, offsets, None, results, DTYPES, WRITTEN, False)
            seen = _see(seen, results, None, False, len(WRITTEN), N_WATCHED)
    else:
        for start in range(0, CHUNK, BLOCK):
            if start < left:
                within = start + lanes
                mask = within < left
                masked_values = _load(pointers, within, mask, True, COMPUTE, READ)
                if COUNTS:
                    masked_values = masked_values + ((begin + start, lanes),)
                masked_results = UPDATE(*masked_values, *coefficients)
                _store(pointers, within, mask, masked_results, DTYPES, WRITTEN, True)
                seen = _see(seen, masked_results, mask, True, len(WRITTEN), N_WATCHED)
    _put(own_partials_ptr, seen, N_WATCHED)


@triton.jit(do_not_specialize=["n_tensors"])
def multi_tensor_coefficients(
    addresses_ptr,
    steps_ptr,
    carried_ptr,
    groups_ptr,
    options_ptr,
    coefficients_ptr,
    skip_ptr,
    n_tensors,
    COEFFICIENTS: tl.constexpr,
    N_CARRIED: tl.constexpr,
    N_OPTIONS: tl.constexpr,
    N_COEFFICIENTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Count one step of each tensor with a gradient, and compute its coefficients in float64.

    What a tensor carries from step to step comes behind its coefficients. Nothing counts where
    the whole step is skipped.
    """
    tensor = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = tensor < n_tensors
    active = tl.load(addresses_ptr + n_tensors + tensor, mask=mask, other=0) != 0
    active = active & (tl.load(skip_ptr + 0 * tensor, mask=mask, other=0.0) == 0.0)
    step = tl.load(steps_ptr + tensor, mask=mask, other=0) + active.to(tl.int64)
    tl.store(steps_ptr + tensor, step, mask=mask)
    carried = ()
    for i in tl.static_range(N_CARRIED):
        number = tl.load(carried_ptr + tensor * N_CARRIED + i, mask=mask, other=0.0)
        carried = carried + (number,)
    group = tl.load(groups_ptr + tensor, mask=mask, other=0)
    options = ()
    for i in tl.static_range(N_OPTIONS):
        option = tl.load(options_ptr + group * N_OPTIONS + i, mask=mask, other=0.0)
        options = options + (option,)
    results = COEFFICIENTS(step.to(tl.float64), *carried, *options)
    for i in tl.static_range(N_COEFFICIENTS):
        value = results[i].to(coefficients_ptr.dtype.element_ty)
        tl.store(coefficients_ptr + tensor * N_COEFFICIENTS + i, value, mask=mask)
    for i in tl.static_range(N_CARRIED):
        number = results[N_COEFFICIENTS + i]
        tl.store(carried_ptr + tensor * N_CARRIED + i, number, mask=mask & active)


@triton.jit(do_not_specialize=["n_rows", "how"])
def multi_tensor_total(
    partials_ptr, given_ptr, total_ptr, skip_ptr, skipped_ptr, n_rows, how, BLOCK: tl.constexpr
):
    """Add up the partials of all chunks of a table, in one program and a fixed order.

    ``how`` is a sum of `kernels.device_table`'s FIRST: nothing was added before; LAST: nothing
    follows, and what is at `skip_ptr` says whether the step is to be none, and such steps are
    counted; and DECIDES: it is to be none if a gradient is not finite, as if that were given.
    """
    lanes = tl.arange(0, BLOCK).to(tl.int64)
    sums, largest = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    others = tl.zeros((BLOCK,), tl.float64)
    for first in range(0, n_rows, BLOCK):
        row = first + lanes
        mask = row < n_rows
        sums += tl.load(partials_ptr + 3 * row, mask=mask, other=0.0)
        size = tl.load(partials_ptr + 3 * row + 1, mask=mask, other=0.0)
        largest = tl.where(size > largest, size, largest)
        others += tl.load(partials_ptr + 3 * row + 2, mask=mask, other=0.0)
    all_squares, all_largest, all_others = tl.sum(sums), tl.max(largest), tl.sum(others)
    if how % 2 == 0:
        all_squares = tl.load(total_ptr) + all_squares
        before = tl.load(total_ptr + 1)
        all_largest = tl.where(before > all_largest, before, all_largest)
        all_others = tl.load(total_ptr + 2) + all_others
    tl.store(total_ptr, all_squares)
    tl.store(total_ptr + 1, all_largest)
    tl.store(total_ptr + 2, all_others)
    if how & 2 != 0:
        bad = (how & 4 != 0) & (all_others != 0.0)
        skip = bad | (tl.load(given_ptr) != 0.0)
        tl.store(skip_ptr, skip.to(tl.float32))
        tl.store(skipped_ptr, tl.load(skipped_ptr) + skip.to(tl.int64))
