"""The Triton kernels: update the chunks of a table, compute coefficients, add partials.

The rule and its coefficients are the NumPy functions themselves, with ``np`` retargeted to Triton's
correctly rounded operations; the kernels contain no formulas.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .blocks import encoded, first_of_list, lanes_of
from .memory import load, store
from .sums import accumulate, store_partials, zero_partials


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
    N_PLAIN: tl.constexpr,
    STREAMS: tl.constexpr,
    CLEARS: tl.constexpr,
    COMPUTE: tl.constexpr,
    N_COEFFICIENTS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
    ENCODE: tl.constexpr,
    CODED: tl.constexpr,
    FIRST_SCALE: tl.constexpr,
    KEY: tl.constexpr,
    ENCODE_STREAMS: tl.constexpr,
):
    """Update one chunk of one tensor; for the arguments see `gpuopt.engine.table.Table`."""
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
        pointer = address.to(tl.pointer_type(DTYPES[i])) + first_of_list(begin, i, FIRST_SCALE)
        pointers = pointers + (tl.multiple_of(pointer, VECTOR),)
    lanes = lanes_of(BLOCK, FIRST_SCALE < len(DTYPES))
    if tl.load(skip_ptr) != 0.0:
        if CLEARS:
            for at in range(0, CHUNK, BLOCK):
                zeros = tl.zeros_like(lanes).to(DTYPES[1])
                tl.store(pointers[1] + (at + lanes), zeros, mask=at + lanes < left)
        return
    coefficients = ()
    for i in tl.static_range(N_COEFFICIENTS):
        value = tl.load(coefficients_ptr + tensor * N_COEFFICIENTS + i)
        coefficients = coefficients + (value,)
    key = ()
    for i in tl.static_range(len(KEY)):
        key = key + (coefficients[KEY[i]],)
    seen = zero_partials(lanes, COMPUTE, N_WATCHED)
    if left >= CHUNK:
        for first in range(0, CHUNK, BLOCK):
            offsets = first + lanes
            values = load(pointers, first, CHUNK, offsets, None, False, COMPUTE, READ, FIRST_SCALE)
            for i in tl.static_range(len(STREAMS)):
                values = values + ((begin + first, lanes, STREAMS[i]),)
            results = UPDATE(*values, *coefficients)
            if len(CODED) > 0:
                element = (begin + first, lanes)
                results = encoded(
                    pointers,
                    first,
                    CHUNK,
                    None,
                    results,
                    element,
                    key,
                    False,
                    ENCODE,
                    CODED,
                    ENCODE_STREAMS,
                )
            store(pointers, offsets, None, results, DTYPES, WRITTEN, False)
            seen = accumulate(seen, results, None, False, len(WRITTEN), N_WATCHED, N_PLAIN)
    else:
        for start in range(0, CHUNK, BLOCK):
            if start < left:
                within = start + lanes
                mask = within < left
                masked_values = load(
                    pointers, start, left, within, mask, True, COMPUTE, READ, FIRST_SCALE
                )
                for i in tl.static_range(len(STREAMS)):
                    masked_values = masked_values + ((begin + start, lanes, STREAMS[i]),)
                masked_results = UPDATE(*masked_values, *coefficients)
                if len(CODED) > 0:
                    masked_element = (begin + start, lanes)
                    masked_results = encoded(
                        pointers,
                        start,
                        left,
                        mask,
                        masked_results,
                        masked_element,
                        key,
                        True,
                        ENCODE,
                        CODED,
                        ENCODE_STREAMS,
                    )
                store(pointers, within, mask, masked_results, DTYPES, WRITTEN, True)
                seen = accumulate(
                    seen, masked_results, mask, True, len(WRITTEN), N_WATCHED, N_PLAIN
                )
    store_partials(own_partials_ptr, seen, N_WATCHED, N_PLAIN)


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
    """Increment the step of each tensor with a gradient; compute its coefficients in float64.

    The function returns the carried numbers after the coefficients. A skipped step does not count.
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


@triton.jit
def _add_rows(partials_ptr, n_rows, BLOCK: tl.constexpr):
    """Add rows of partials, a block at a time; the order depends only on their number."""
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
    return tl.sum(sums), tl.max(largest), tl.sum(others)


@triton.jit(do_not_specialize=["n_rows"])
def multi_tensor_subtotals(
    partials_ptr, subtotals_ptr, n_rows, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Reduce every ``ROWS`` rows of partials to one, which `multi_tensor_total` then adds."""
    program = tl.program_id(0).to(tl.int64)
    own_rows = tl.minimum(n_rows - tl.program_id(0) * ROWS, ROWS)
    squares, largest, others = _add_rows(partials_ptr + 3 * ROWS * program, own_rows, BLOCK)
    tl.store(subtotals_ptr + 3 * program, squares)
    tl.store(subtotals_ptr + 3 * program + 1, largest)
    tl.store(subtotals_ptr + 3 * program + 2, others)


@triton.jit
def multi_tensor_sums(
    partials_ptr,
    firsts_ptr,
    carried_ptr,
    N_SUMS: tl.constexpr,
    N_CARRIED: tl.constexpr,
    ROW: tl.constexpr,
    STEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add the sums of the chunks of each tensor, in a fixed order.

    They become the last of the tensor's carried numbers. A chunk has a row of numbers; its sums are
    ``STEP`` numbers apart, and the last one is ``STEP`` before the end.
    """
    tensor = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(firsts_ptr + tensor), tl.load(firsts_ptr + tensor + 1)
    lanes = tl.arange(0, BLOCK).to(tl.int64)
    partials_ptr += ROW - STEP * N_SUMS
    for i in tl.static_range(N_SUMS):
        sums = tl.zeros((BLOCK,), tl.float64)
        for first in range(begin, end, BLOCK):
            row = first + lanes
            sums += tl.load(partials_ptr + row * ROW + STEP * i, mask=row < end, other=0.0)
        tl.store(carried_ptr + (tensor + 1) * N_CARRIED - N_SUMS + i, tl.sum(sums))


@triton.jit(do_not_specialize=["n_rows", "how"])
def multi_tensor_total(
    partials_ptr, given_ptr, total_ptr, skip_ptr, skipped_ptr, n_rows, how, BLOCK: tl.constexpr
):
    """Add the partials of all chunks of a table, or their subtotals, in a fixed order.

    There is a single program; many chunks are first reduced to subtotals, so it needs few rounds.
    ``how`` is a sum of flags of `kernels.device`. FIRST: overwrite the total. LAST: write to
    `skip_ptr` whether to skip the step, and count skipped steps. DECIDES: also skip it if a
    gradient is not finite, not only if `given_ptr` says so.
    """
    all_squares, all_largest, all_others = _add_rows(partials_ptr, n_rows, BLOCK)
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
