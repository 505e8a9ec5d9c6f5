"""What a GPU would not tell: who touched which memory that is not the kernel's, and where."""

import numpy as np
import pytest

from . import build
from .memory import Region
from .run import Fault, backwards
from .snippets import launch, module

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

EACH_ITS_OWN = ["ld.param.u64 %rd0, [p0];", "mov.u32 %r1, %tid.x;", "mov.u32 %r2, %ctaid.x;"]
"""Where the body of a kernel with one array begins."""


def run(instruction, array, regions=None):
    body = [*EACH_ITS_OWN, "mad.wide.u32 %rd1, %r1, 4, %rd0;", instruction]
    text = module(body, ["p0"], threads=8)
    launch(text, [array], blocks=2, threads=8, regions=regions)
    return 1 + text.splitlines().index(f"    {instruction}")


def fault(instruction, array, regions=None):
    """Return what is said about an instruction of the first kernel line that fails."""
    with pytest.raises(Fault) as caught:
        run(instruction, array, regions)
    return str(caught.value)


def test_an_access_behind_the_end():
    array = np.zeros(5, np.float32)
    said = fault("st.global.b32 [%rd1], %r1;", array)
    address = hex(array.ctypes.data + 20)
    assert said.startswith(
        f"one: an access outside of the memory it may touch: 4 bytes at {address}"
    )
    assert said.endswith(": st.global.b32 [%rd1], %r1; block 0, thread 5")
    assert array.view(np.uint32).tolist() == [0, 1, 2, 3, 4]


def test_an_access_before_the_beginning():
    said = fault("ld.global.b32 %r5, [%rd1+-4];", np.zeros(8, np.float32))
    assert "outside" in said and said.endswith("block 0, thread 0")


def test_a_vector_half_of_which_lies_behind_the_end():
    array = np.zeros(16, np.float32)
    begin = -(array.ctypes.data // 4) % 4
    part = array[begin : begin + 6]
    said = fault("ld.global.v4.b32 {%r5, %r6, %r7, %r8}, [%rd0+16];", part)
    assert "outside" in said and "16 bytes" in said


def test_an_access_to_the_gap_between_two_arrays():
    array = np.zeros(8, np.float32)
    regions = [Region.of(array[:3]), Region.of(array[4:])]
    assert fault("st.global.b32 [%rd1], %r1;", array, regions).endswith("block 0, thread 3")


@pytest.mark.parametrize(("kind", "size"), [("u16", 2), ("b32", 4), ("f64", 8)])
def test_a_misaligned_access(kind, size):
    register = "%rd5" if size == 8 else "%r5"
    said = fault(f"ld.global.{kind} {register}, [%rd0+1];", np.zeros(8))
    assert f"a misaligned access: {size} bytes" in said
    assert f"ld.global.{kind} {register}, [%rd0+1]; block 0, thread 0" in said


def test_a_misaligned_vector():
    array = np.zeros(16, np.float32)
    begin = -(array.ctypes.data // 4) % 4
    said = fault("st.global.v2.b32 [%rd0+4], {%r1, %r2};", array[begin:])
    assert "a misaligned access: 8 bytes" in said


def test_the_line_is_that_of_the_text():
    with pytest.raises(Fault) as caught:
        run("st.global.b32 [%rd0+99996], %r1;", np.zeros(2))
    body = module([*EACH_ITS_OWN, "mad", "st"], ["p0"]).splitlines()
    assert f"PTX line {1 + body.index('    st')}: " in str(caught.value)


def test_a_store_to_what_is_only_to_be_read():
    array = np.zeros(8, np.float32)
    run("ld.global.b32 %r5, [%rd1];", array, [Region.of(array, writable=False)])
    said = fault("st.global.b32 [%rd1], %r1;", array, [Region.of(array, writable=False)])
    assert "a store to memory that is only to be read" in said
    assert not array.any()


def test_a_loop_that_does_not_end():
    body = [*EACH_ITS_OWN, "$L_1:", "bra $L_1;"]
    with pytest.raises(Fault, match=r"a loop that does not end: .*bra \$L_1; block 0, thread 0"):
        launch(module(body, ["p0"]), [np.zeros(1)])


def test_accesses_are_counted():
    array = np.zeros(8, np.float32)
    region = Region.of(array, counted=True)
    run("ld.global.b32 %r5, [%rd1];", array, [region])
    assert region.loads.tolist() == [2] * 32 and not region.stores.any()
    run("st.global.u16 [%rd0+2], %r1;", array, [region])
    assert region.stores.tolist() == [0, 0, 16, 16, *[0] * 28]


@pytest.mark.parametrize("reverse", [False, True])
def test_who_comes_last(reverse):
    array = np.zeros(1, np.uint32)
    backwards(reverse)
    try:
        body = [*EACH_ITS_OWN, "mad.lo.s32 %r3, %r2, 8, %r1;", "st.global.b32 [%rd0], %r3;"]
        launch(module(body, ["p0"], threads=8), [array], blocks=2, threads=8)
    finally:
        backwards(False)
    assert array.tolist() == [0 if reverse else 15]
