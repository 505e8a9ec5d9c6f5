"""The table walked by Triton: one launch for all tensors of a table.

The rule and its coefficients are the NumPy functions themselves, compiled with ``np`` pointed
at Triton's exactly rounded operations. Nothing here knows a formula.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from .retarget import retarget
from .storage import STORAGE, compute_dtype
from .table import Table, Update
from .torch_memory import Mailbox, upload

CHUNK = 8192
"""Elements that one program updates: enough to keep a stream of loads going, few enough that
a small model still fills the device."""

WARPS = 4
"""Warps of a program."""

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

_INTERPRETED = tl.constexpr(INTERPRETED)

SIMULATED_ON = ("cpu",) if INTERPRETED else ()
"""Kinds of device whose memory it can walk without a GPU."""


def problem() -> str | None:
    """Return why it cannot run here, or None."""
    if torch.cuda.is_available() or INTERPRETED:
        return None
    if torch.version.cuda is None:
        return "this torch is built without CUDA; install a CUDA build of torch"
    return "torch finds no CUDA device (driver, CUDA_VISIBLE_DEVICES?)"


def block_size(dtypes: tuple[str, ...]) -> int:
    """Return how many elements a program updates at once: one table for all architectures.

    1,024 elements on 128 threads are 8 a thread: two 16-byte accesses for each float32 list.
    With a 16-bit list beside a wider one, 512 keep Triton from exchanging values between
    threads through shared memory; float64 rules need twice the registers.
    """
    return 512 if len(set(dtypes)) > 1 or "float64" in dtypes else 1024


# --- what np is inside a rule --------------------------------------------------------------


@triton.jit
def _divide(a, b):  # type: ignore[no-untyped-def]  # values have no Python types
    if (a + b).dtype == tl.float64:  # the sum: either may be a literal, which has no dtype
        return a / b
    else:
        return tl.div_rn(a, b)


@triton.jit
def _sqrt(a):  # type: ignore[no-untyped-def]
    if a.dtype == tl.float64:
        return tl.sqrt(a)
    else:
        return tl.sqrt_rn(a)


@triton.jit
def _abs(a):  # type: ignore[no-untyped-def]
    return tl.abs(a)


@triton.jit
def _where(condition, a, b):  # type: ignore[no-untyped-def]
    return tl.where(condition, a, b)


@triton.jit
def _maximum(a, b):  # type: ignore[no-untyped-def]
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _minimum(a, b):  # type: ignore[no-untyped-def]
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _power(base, exponent):  # type: ignore[no-untyped-def]
    """The squarings of gpuopt.rules.power, for exponents below 2**53 held in float64."""
    n = exponent.to(tl.int64)
    result = tl.full(base.shape, 1.0, tl.float64)
    for _ in range(53):
        result = tl.where((n & 1) == 1, result * base, result)
        base = base * base
        n = n >> 1
    return result


LIBRARY = ModuleType("triton_maths")
vars(LIBRARY).update(
    divide=_divide, sqrt=_sqrt, abs=_abs, maximum=_maximum, minimum=_minimum, where=_where
)


def jit(function: Any) -> Any:
    """Compile a NumPy rule, or a function of coefficients, for Triton."""
    return retarget(function, LIBRARY, triton.jit, extra_globals={"tl": tl, "power": _power})


# --- the kernels ---------------------------------------------------------------------------


@triton.jit
def _load(pointers, offsets, mask, MASKED: tl.constexpr, COMPUTE: tl.constexpr):  # type: ignore[no-untyped-def]
    values = ()
    for i in tl.static_range(len(pointers)):
        if MASKED:
            stored = tl.load(pointers[i] + offsets, mask=mask)
        else:
            stored = tl.load(pointers[i] + offsets)
        values = values + (stored.to(COMPUTE),)
    return values


@triton.jit
def _encode(value, DTYPE: tl.constexpr):  # type: ignore[no-untyped-def]
    if DTYPE.primitive_bitwidth == 16:
        value = value.to(tl.float32)  # float64 goes to 16 bits by way of float32, everywhere
    if _INTERPRETED and DTYPE == tl.bfloat16:
        # The interpreter cuts the low bits off; as kernels.storage does, this rounds.
        bits = value.to(tl.uint32, bitcast=True)
        bits = tl.where(value == value, bits + 0x7FFF + ((bits >> 16) & 1), 0x7FC00000)
        value = (bits & 0xFFFF0000).to(tl.float32, bitcast=True)
    return value.to(DTYPE)


@triton.jit
def _store(  # type: ignore[no-untyped-def]
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
def multi_tensor_update(  # type: ignore[no-untyped-def]
    addresses_ptr,
    sizes_ptr,
    chunks_ptr,
    coefficients_ptr,
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
def multi_tensor_coefficients(  # type: ignore[no-untyped-def]
    grads_ptr,
    steps_ptr,
    groups_ptr,
    options_ptr,
    coefficients_ptr,
    n_tensors,
    COEFFICIENTS: tl.constexpr,
    N_OPTIONS: tl.constexpr,
    N_COEFFICIENTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Count one step of each tensor with a gradient, and compute its coefficients in float64."""
    tensor = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = tensor < n_tensors
    active = tl.load(grads_ptr + tensor, mask=mask, other=0) != 0
    step = tl.load(steps_ptr + tensor, mask=mask, other=0) + active.to(tl.int64)
    tl.store(steps_ptr + tensor, step, mask=mask)
    group = tl.load(groups_ptr + tensor, mask=mask, other=0)
    options = ()
    for i in tl.static_range(N_OPTIONS):
        option = tl.load(options_ptr + group * N_OPTIONS + i, mask=mask, other=0.0)
        options = options + (option,)
    results = COEFFICIENTS(step.to(tl.float64), *options)
    for i in tl.static_range(N_COEFFICIENTS):
        value = results[i].to(coefficients_ptr.dtype.element_ty)
        tl.store(coefficients_ptr + tensor * N_COEFFICIENTS + i, value, mask=mask)


# --- the host's side -----------------------------------------------------------------------

COEFFICIENT_BLOCK = 128
"""Tensors whose coefficients one program computes."""


@cache
def update_constants(update: Update, dtypes: tuple[str, ...], vectors: bool) -> dict[str, Any]:
    """Return the compile-time arguments of `multi_tensor_update`."""
    narrowest = min(STORAGE[dtype].itemsize for dtype in dtypes)
    return {
        "UPDATE": jit(update.function),
        "DTYPES": tuple(getattr(tl, dtype) for dtype in dtypes),
        "WRITTEN": update.written,
        "COMPUTE": getattr(tl, compute_dtype(dtypes[0])),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "CHUNK": CHUNK,
        "BLOCK": block_size(dtypes),
        "VECTOR": 16 if vectors else narrowest,
    }


@cache
def coefficients_constants(update: Update) -> dict[str, Any]:
    """Return the compile-time arguments of `multi_tensor_coefficients`."""
    return {
        "COEFFICIENTS": jit(update.coefficients_function),
        "N_OPTIONS": len(update.option_names),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "BLOCK": COEFFICIENT_BLOCK,
    }


class DeviceTable:
    """A table in device memory, with the step counts and the options of its tensors.

    Nothing here waits for the device, but `read_steps`.
    """

    def __init__(
        self,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Copy everything to the device, and compile.

        Args:
            table: the host's table.
            steps: updates that each tensor of the table has had.
            groups: the group of each.
            options: one row a group, in the order of the update's option names.
        """
        device = table.device
        self._addresses = Mailbox(table.addresses, device)
        self._options = Mailbox(options, device)
        self._steps = upload(steps, device)
        self._arguments = (
            self._addresses.tensor,
            upload(table.sizes, device),
            upload(table.chunks, device),
            upload(table.coefficients, device),
            len(table.sizes),
        )
        self._coefficient_arguments = (
            self._addresses.tensor[1],
            self._steps,
            upload(groups, device),
            self._options.tensor,
            self._arguments[3],
            len(table.sizes),
        )
        self._grid = (len(table.chunks),)
        self._coefficient_grid = (triton.cdiv(len(table.sizes), COEFFICIENT_BLOCK),)
        self._constants = update_constants(table.update, table.dtypes, table.vectors)
        self._coefficient_constants = coefficients_constants(table.update)
        self._device = torch.device(device)

    def send_addresses(self, addresses: npt.NDArray[np.int64]) -> None:
        """Tell the device where the arrays lie now."""
        with self._on_device():
            self._addresses.send(addresses)

    def send_options(self, options: npt.NDArray[np.float64]) -> None:
        """Tell the device the groups' options."""
        with self._on_device():
            self._options.send(options)

    def run(self) -> None:
        """Update every tensor that has a gradient, on the current stream of the device."""
        with self._on_device():
            multi_tensor_coefficients[self._coefficient_grid](
                *self._coefficient_arguments,
                **self._coefficient_constants,
                num_warps=WARPS,
                enable_fp_fusion=False,
            )
            if self._grid[0]:
                multi_tensor_update[self._grid](
                    *self._arguments, **self._constants, num_warps=WARPS, enable_fp_fusion=False
                )

    def read_steps(self) -> npt.NDArray[np.int64]:
        """Return how many updates each tensor has had; waits for the device."""
        counts: npt.NDArray[np.int64] = self._steps.cpu().numpy().copy()
        return counts

    def _on_device(self) -> Any:
        return torch.cuda.device(self._device if self._device.type == "cuda" else -1)
