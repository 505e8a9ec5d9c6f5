"""Threads that wait for each other: barriers, shared memory and exchanges between lanes."""

import numpy as np
import pytest

from . import build
from .run import Fault, backwards
from .snippets import launch, module

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

THREADS = 64
PLACE = [
    "ld.param.u64 %rd0, [p0];",
    "mov.u32 %r1, %tid.x;",
    "mul.wide.u32 %rd1, %r1, 4;",
    "add.s64 %rd2, %rd0, %rd1;",
    "ld.global.b32 %r2, [%rd2];",
]
"""Thread i has its address in %rd2, and what lies there in %r2."""

STORE = ["st.global.b32 [%rd2], %r3;"]


def run(body, given, shared=""):
    text = module([*PLACE, *body, *STORE], ["p0"], threads=THREADS)
    text = text.replace(".visible .entry", f"{shared}\n.visible .entry")
    found = given.copy()
    launch(text, [found], threads=THREADS)
    return found


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"], autouse=True)
def order(request):
    backwards(request.param)
    yield
    backwards(False)


GIVEN = np.random.default_rng(2).integers(0, 2**31, THREADS, np.uint32)
MEMORY = ".shared .align 16 .b8 held[256];"
TURN = [  # what thread 63 - i has, through shared memory
    "mov.u32 %r9, held;",
    "shl.b32 %r4, %r1, 2;",
    "add.s32 %r5, %r9, %r4;",
    "st.shared.b32 [%r5], %r2;",
    "bar.sync 0;",
    "sub.s32 %r6, %r9, %r4;",
    "ld.shared.b32 %r3, [%r6+252];",
]


def test_what_is_stored_before_a_barrier_is_read_behind_it():
    assert np.array_equal(run(TURN, GIVEN, MEMORY), GIVEN[::-1])


def test_without_the_barrier_it_is_not():
    broken = [line for line in TURN if line != "bar.sync 0;"]
    assert not np.array_equal(run(broken, GIVEN, MEMORY), GIVEN[::-1])


@pytest.mark.parametrize("distance", [1, 2, 4, 8, 16])
def test_lanes_exchange(distance):
    found = run([f"shfl.sync.bfly.b32 %r3|%p1, %r2, {distance}, 31, -1;"], GIVEN)
    assert np.array_equal(found, GIVEN[np.arange(THREADS) ^ distance])


def test_exchanges_one_after_the_other():
    body = ["mov.b32 %r3, %r2;"]
    for distance in (16, 8, 4, 2, 1):
        body += [f"shfl.sync.bfly.b32 %r4, %r3, {distance}, 31, -1;", "add.s32 %r3, %r3, %r4;"]
    sums = GIVEN.reshape(2, 32).sum(axis=1, dtype=np.uint32)
    assert np.array_equal(run(body, GIVEN), np.repeat(sums, 32))


def test_sums_of_warps():
    sums = GIVEN.reshape(2, 32).sum(axis=1, dtype=np.uint32)
    found = run(["redux.sync.add.s32 %r3, %r2, -1;"], GIVEN)
    assert np.array_equal(found, np.repeat(sums, 32))


def test_bits_of_warps():
    bits = np.bitwise_or.reduce(GIVEN.reshape(2, 32), axis=1)
    found = run(["redux.sync.or.b32 %r3, %r2, -1;"], GIVEN)
    assert np.array_equal(found, np.repeat(bits, 32))


@pytest.mark.parametrize(("name", "of"), [("min", np.min), ("max", np.max)])
def test_least_and_largest_integers_of_warps(name, of):
    given = np.random.default_rng(5).integers(-(2**31), 2**31, THREADS).astype(np.int32)
    found = run([f"redux.sync.{name}.s32 %r3, %r2, -1;"], given.view(np.uint32))
    assert np.array_equal(found.view(np.int32), np.repeat(of(given.reshape(2, 32), axis=1), 32))


FLOATS = np.random.default_rng(3).standard_normal(THREADS).astype(np.float32)
QUIET, OTHER_NAN = 0x7FFFFFFF, 0xFF812345


def largest_of_warps(floats):
    return run(["redux.sync.max.f32 %r3, %r2, -1;"], floats.view(np.uint32))


def test_largest_of_warps():
    found = largest_of_warps(FLOATS).view(np.float32)
    assert np.array_equal(found, np.repeat(FLOATS.reshape(2, 32).max(axis=1), 32))


@pytest.mark.parametrize("number", [-np.inf, -2.0, 3.0])
@pytest.mark.parametrize("lane", [0, 17, 31])
def test_the_only_number_of_a_warp_is_its_largest_and_of_none_nan(lane, number):
    given = np.full(THREADS, OTHER_NAN, np.uint32).view(np.float32)
    given[lane] = number
    found = largest_of_warps(given)
    assert (found[:32].view(np.float32) == number).all()
    assert (found[32:] == QUIET).all()


def test_zero_is_larger_than_minus_zero():
    given = np.full(THREADS, -0.0, np.float32)
    given[[0, 63]] = 0.0
    assert not np.signbit(largest_of_warps(given).view(np.float32)).any()
    assert np.signbit(largest_of_warps(np.full(THREADS, -0.0, np.float32)).view(np.float32)).all()


FAULTS = {
    "a barrier that not all threads of the block meet": [
        "setp.eq.s32 %p1, %r1, 7;",
        "@%p1 bra $past;",
        "bar.sync 0;",
        "$past:",
    ],
    "an access outside": ["mov.u32 %r9, held;", "ld.shared.b32 %r3, [%r9+256];", "bar.sync 0;"],
    "a misaligned access": ["mov.u32 %r9, held;", "ld.shared.b32 %r3, [%r9+2];", "bar.sync 0;"],
    "an exchange between threads that is not known": [
        "shfl.sync.bfly.b32 %r3, %r2, 1, 7199, -1;",
    ],
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults(what):
    with pytest.raises(Fault, match=what):
        run(FAULTS[what], GIVEN, MEMORY)
