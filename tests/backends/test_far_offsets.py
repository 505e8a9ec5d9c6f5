"""Offsets beyond 2^31 elements, in memory that exists only where it is touched."""

import ctypes
import dataclasses
import importlib
import mmap

import numpy as np
import pytest

from gpuopt.arrays import describe
from gpuopt.engine.device_launch import DeviceLaunch
from gpuopt.engine.dispatch import BACKENDS
from gpuopt.engine.groups import Groups
from gpuopt.engine.host_launch import HostLaunch
from gpuopt.engine.table import Entry, build_tables
from gpuopt.rules.rounding import SEED, tensor_seed
from tests.helpers.exact import assert_same_bits
from tests.helpers.layouts import Layout, Placed
from tests.helpers.stepping import Problem, groups, on_backend, on_whole_arrays, random_problem
from tests.helpers.values import DTYPES, values

BEYOND = (1 << 31) + 40_000

if ctypes.sizeof(ctypes.c_void_p) < 8 or not hasattr(mmap, "MAP_ANONYMOUS"):
    pytest.skip("needs 64-bit addresses and anonymous mappings", allow_module_level=True)


def sparse_zeros(elements, dtype):
    """An array of zeros that takes memory only where it is written."""
    reserve_nothing = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python 3.13 has the name
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | reserve_nothing
    try:
        mapped = mmap.mmap(-1, elements * DTYPES[dtype].itemsize, flags)
    except OSError as error:
        pytest.skip(f"no sparse mapping of that size here: {error}")
    return np.frombuffer(mapped, DTYPES[dtype])


def table_of(module, update_groups, arrays):
    """The table of one tensor with a momentum."""
    update = update_groups[0].update.for_states({"momentum_buffer": arrays[2].dtype.name})
    entry = Entry(0, update, tuple(describe(a, "array") for a in arrays))
    (table,) = build_tables([entry], module.CHUNK)
    table.carried[...] = update.carried_at_first(update_groups[0].options)
    return table


def launch_of(module, update_groups, arrays, parts):
    """A launch over one tensor that does the first, a middle and the last chunk of it."""
    table = table_of(module, update_groups, arrays)
    number = np.array([0, (1 << 31) // module.CHUNK, len(table.chunks) - 1])
    lengths = np.minimum(BEYOND - number * module.CHUNK, module.CHUNK)
    parts += [slice(n * module.CHUNK, n * module.CHUNK + k) for n, k in zip(number, lengths)]
    table = dataclasses.replace(table, chunks=table.chunks[number], ends=np.cumsum(lengths))
    return launch_over(module, update_groups, table)


def launch_over(module, update_groups, table):
    first = np.zeros(1, np.int64)
    if hasattr(module, "DeviceTable"):
        return DeviceLaunch(table, module, first, first, update_groups)
    return HostLaunch(table, module, first)


def test_chunks_beyond_2_to_the_31_elements(backend):
    update_groups = Groups.of(groups("momentum", {"lr": 0.5}, state_dtype="bfloat16"))
    arrays = [sparse_zeros(BEYOND, dtype) for dtype in ("float16", "bfloat16", "bfloat16")]
    parts = []
    module = importlib.import_module(BACKENDS[backend].module)
    launch = launch_of(module, update_groups, arrays, parts)
    start = [
        [values("ordinary", (p.stop - p.start,), a.dtype.name, i) for p in parts]
        for i, a in enumerate(arrays)
    ]
    for array, pieces in zip(arrays, start):
        for part, piece in zip(parts, pieces):
            array[part] = piece
    beside = [slice(p.stop, p.stop + 100) for p in parts[:-1]]
    launch.compute(np.zeros(1, np.int64), update_groups)
    launch.run([None])
    states = [{"momentum_buffer": piece} for piece in start[2]]
    seeds = [{SEED: tensor_seed({"seed": 0}, 0)} for _ in parts]
    first = [part.start for part in parts]  # beyond 2^31 the random words are others, too
    problem = Problem(
        start[0], [start[1]], update_groups, states=states, carried=seeds, first=first
    )
    expected = on_whole_arrays(problem)
    for i, part in enumerate(parts):
        assert_same_bits(arrays[0][part], expected.params[i], f"the parameter at {part}")
        assert_same_bits(
            arrays[2][part], expected.states[i]["momentum_buffer"], f"the state at {part}"
        )
    for array in arrays:
        assert not any(array[part].any() for part in beside)


@pytest.mark.parametrize("shift", [0, 1])
def test_random_words_beyond_2_to_the_34_elements(backend, request, shift):
    """Of a chunk that is said to lie there; more bits than 32 count the blocks of four words."""
    if request.config.way == "gpu":
        pytest.skip("the whole tensor would be copied to the device")
    module = importlib.import_module(BACKENDS[backend].module)
    update_groups = Groups.of(groups("momentum", {"lr": 0.5}, state_dtype="bfloat16"))
    dtypes = ("float16", "bfloat16", "bfloat16")
    whole = [values("ordinary", (module.CHUNK,), dtype, i) for i, dtype in enumerate(dtypes)]
    # What is written lies behind the gradient, which the simulated device takes to be far longer.
    bits = np.stack([whole[i].view(np.uint16) for i in (1, 0, 2)])
    grad, param, state = Placed(bits, Layout(shift=2 * shift)).array
    arrays = [a.view(array.dtype) for a, array in zip((param, grad, state), whole)]
    table = table_of(module, update_groups, arrays)
    number = 5 + (1 << 34) // module.CHUNK
    begin = number * module.CHUNK
    table.addresses[...] -= begin * np.array([[a.itemsize] for a in arrays])
    table.sizes[...] += begin
    table.chunks[...] = 0, number
    launch = launch_over(module, update_groups, table)
    launch.compute(np.zeros(1, np.int64), update_groups)
    launch.run([None])
    seeds = [{SEED: tensor_seed({"seed": 0}, 0)}]
    states = [{"momentum_buffer": whole[2]}]
    problem = Problem(
        whole[:1], [whole[1:2]], update_groups, states=states, carried=seeds, first=[begin]
    )
    expected = on_whole_arrays(problem)
    assert_same_bits(arrays[0], expected.params[0])
    assert_same_bits(arrays[2], expected.states[0]["momentum_buffer"])


def test_strides_beyond_2_to_the_31_elements(any_backend):
    """Elements that lie gigabytes apart, from the last to the first."""
    problem = random_problem("momentum", [(9,)], dtypes=("float16", "bfloat16"))
    strides = []

    def lay(array, role):
        spread = sparse_zeros(BEYOND, array.dtype.name)[:: -((BEYOND - 1) // 8)]
        spread[...] = array
        strides.append(spread.strides[0])
        return spread

    outcome = on_backend(any_backend, problem, lay)
    assert min(strides) * 8 <= -(2 << 31)
    assert_same_bits(outcome.params[0], on_whole_arrays(problem).params[0])
