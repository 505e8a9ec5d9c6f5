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
    # Any wait makes the threads coroutines; this one comes too late.
    assert not np.array_equal(run([*broken, "bar.sync 0;"], GIVEN, MEMORY), GIVEN[::-1])


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
