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
from .triton_source import reworded

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run in Triton's interpreter, on the CPU."""

_INTERPRETED = tl.constexpr(INTERPRETED)


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
    names = {"tl": tl, "power": _power, "real_power": _real_power}
    return retarget(function, LIBRARIES[compute], _jit, extra_globals=names)


def _jit(function: FunctionType) -> Any:
    return triton.jit(reworded(function))


# --- the kernels ---------------------------------------------------------------------------


@triton.jit
def _decode(stored, COMPUTE: tl.constexpr):
    if _INTERPRETED and stored.dtype == tl.bfloat16:
        # The interpreter loses denormals and the sign of zero; as kernels.storage does, this not.
        bits = stored.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        stored = bits.to(tl.float32, bitcast=True)
    return stored.to(COMPUTE)


@triton.jit
def _load(pointers, offsets, mask, MASKED: tl.constexpr, COMPUTE: tl.constexpr):
    values = ()
    for i in tl.static_range(len(pointers)):
        if MASKED:
            stored = tl.load(pointers[i] + offsets, mask=mask)
        else:
            stored = tl.load(pointers[i] + offsets)
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


@triton.jit(do_not_specialize=["n_tensors"])
def multi_tensor_update(
    addresses_ptr,
    sizes_ptr,
    chunks_ptr,
    coefficients_ptr,
    skip_ptr,
    n_tensors,
    UPDATE: tl.constexpr,
    DTYPES: tl.constexpr,
    WRITTEN: tl.constexpr,
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
    if rests:
        return
    if tl.load(skip_ptr) != 0.0:
        return
    coefficients = ()
    for i in tl.static_range(N_COEFFICIENTS):
        value = tl.load(coefficients_ptr + tensor * N_COEFFICIENTS + i)
        coefficients = coefficients + (value,)
    pointers = ()
    for i in tl.static_range(len(DTYPES)):
        address = tl.load(addresses_ptr + i * n_tensors + tensor)
        pointer = address.to(tl.pointer_type(DTYPES[i])) + begin
        pointers = pointers + (tl.multiple_of(pointer, VECTOR),)
    lanes = tl.arange(0, BLOCK)
    if left >= CHUNK:
        for first in range(0, CHUNK, BLOCK):
            offsets = first + lanes
            values = _load(pointers, offsets, None, False, COMPUTE)
            results = UPDATE(*values, *coefficients)
            _store(pointers, offsets, None, results, DTYPES, WRITTEN, False)
    else:
        for start in range(0, CHUNK, BLOCK):
            if start < left:
                within = start + lanes
                mask = within < left
                masked_values = _load(pointers, within, mask, True, COMPUTE)
                masked_results = UPDATE(*masked_values, *coefficients)
                _store(pointers, within, mask, masked_results, DTYPES, WRITTEN, True)


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
