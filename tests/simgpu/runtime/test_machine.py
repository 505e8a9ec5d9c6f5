"""What the machine notices: missing order, freed memory, other devices, calls during a capture."""

import numpy as np
import pytest

from .graphs import CaptureError
from .machine import MemoryFault, RaceError

torch = pytest.importorskip("torch")
ONES = np.ones(4, np.float32)
COUNT = 4


@pytest.fixture
def tensor(machine):
    return torch.zeros(COUNT, device="cuda")


@pytest.fixture
def other(machine):
    """A stream in which nothing waits for the current one."""
    torch.cuda.synchronize()
    return torch.cuda.Stream()


def test_work_is_done_when_the_host_waits_and_no_earlier(tensor):
    tensor.add_(1.0)
    before = tensor.inner.tolist()
    torch.cuda.synchronize()
    assert tensor.inner.tolist() == [1.0] * COUNT != before


# --- order ---------------------------------------------------------------------------------------


def test_a_race_names_both_kinds_of_work(tensor, other):
    torch.cuda.synchronize()
    tensor.add_(1.0)
    with torch.cuda.stream(other):
        tensor.mul_(2.0)
    with pytest.raises(RaceError, match=r"add_ in the default .* mul_ in stream .* have no order"):
        torch.cuda.synchronize()


def test_a_read_and_a_write_race_too(tensor, other):
    torch.cuda.synchronize()
    copy = tensor.clone()
    with torch.cuda.stream(other):
        tensor.zero_()
    with pytest.raises(RaceError, match=r"clone .* zero_"):
        torch.cuda.synchronize()
    del copy


def test_other_bytes_and_reads_do_not_race(tensor, other):
    torch.cuda.synchronize()
    copies = [tensor[:2].clone()]
    tensor[:2].add_(1.0)
    with torch.cuda.stream(other):
        tensor[2:].add_(1.0)
        copies.append(tensor[2:].clone())
    torch.cuda.synchronize()


@pytest.mark.parametrize("how", ["wait_stream", "event", "synchronize", "host waits for an event"])
def test_what_gives_an_order(tensor, other, how):
    event = torch.cuda.Event()
    tensor.add_(1.0)
    event.record()
    if how == "wait_stream":
        other.wait_stream(torch.cuda.current_stream())
    elif how == "event":
        other.wait_event(event)
    elif how == "synchronize":
        torch.cuda.current_stream().synchronize()
    else:
        event.synchronize()
    with torch.cuda.stream(other):
        tensor.mul_(3.0)
    torch.cuda.synchronize()
    assert tensor.tolist() == [3.0] * COUNT


def test_an_event_orders_only_what_was_before_it(tensor, other):
    event = torch.cuda.Event()
    event.record()
    tensor.add_(1.0)
    other.wait_event(event)
    with torch.cuda.stream(other):
        tensor.mul_(3.0)
    with pytest.raises(RaceError):
        torch.cuda.synchronize()


def test_an_event_is_not_over_before_the_host_waited(tensor):
    event = torch.cuda.Event()
    assert event.query()
    tensor.add_(1.0)
    event.record()
    assert not event.query()
    torch.cuda.synchronize()
    assert event.query()


def test_cupys_streams_wait_for_the_default_stream_unless_they_say_no(machine):
    from .in_cupy import cupy

    array = cupy.asarray(ONES)
    with cupy.cuda.Stream():
        array.fill(2.0)
    array.fill(3.0)
    assert cupy.asnumpy(array).tolist() == [3.0] * COUNT
    with cupy.cuda.Stream(non_blocking=True) as stream:
        array.fill(4.0)
    array.fill(5.0)
    with pytest.raises(RaceError):
        stream.synchronize()
        cupy.cuda.get_current_stream().synchronize()


# --- memory --------------------------------------------------------------------------------------


def test_pinned_memory_that_is_written_too_early_shows_in_the_bits(tensor):
    buffer = torch.empty(COUNT, device="cpu", pin_memory=True)
    buffer.fill_(1.0)
    tensor.copy_(buffer, non_blocking=True)
    buffer.fill_(2.0)
    assert tensor.tolist() == [2.0] * COUNT


def test_pinned_memory_of_torch_is_not_reused_before_its_copies_are_done(tensor):
    buffer = torch.empty(COUNT, device="cpu", pin_memory=True)
    tensor.copy_(buffer.fill_(1.0), non_blocking=True)
    del buffer
    torch.empty(1, device="cpu", pin_memory=True)
    assert tensor.tolist() == [1.0] * COUNT


def test_pinned_memory_of_cupy_is(machine):
    from .in_cupy import cupy

    array, buffer = cupy.zeros(4, np.float32), cupy.cuda.alloc_pinned_memory(16)
    buffer[...] = ONES.view(np.uint8)
    kind, stream = cupy.cuda.runtime.memcpyHostToDevice, cupy.cuda.get_current_stream().ptr
    cupy.cuda.runtime.memcpyAsync(array.data.ptr, buffer.ctypes.data, 16, kind, stream)
    del buffer
    cupy.cuda.alloc_pinned_memory(1)
    assert set(cupy.asnumpy(array).view(np.uint8).tolist()) == {0xA5}


def test_pageable_memory_is_read_at_once(tensor):
    buffer = torch.ones(COUNT)
    tensor.copy_(buffer)
    buffer.fill_(2.0)
    assert tensor.tolist() == [1.0] * COUNT


def test_memory_that_another_stream_still_uses_when_it_is_freed(tensor, other):
    torch.cuda.synchronize()
    source = torch.ones(COUNT, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(other):
        tensor.copy_(source)
    del source
    with pytest.raises(RaceError, match=r"a copy of .* the reuse of .*memory of cuda:0"):
        torch.cuda.synchronize()


def test_memory_whose_use_was_recorded(tensor, other):
    source = torch.ones(COUNT, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(other):
        tensor.copy_(source)
        source.record_stream(torch.cuda.current_stream())
    inner = source.inner
    del source
    torch.cuda.synchronize()
    assert tensor.tolist() == [1.0] * COUNT
    del inner


def test_memory_of_cupys_pool_has_no_such_records(machine):
    from .in_cupy import cupy

    array, source = cupy.asarray(ONES), cupy.asarray(ONES)
    cupy.cuda.get_current_stream().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        array[...] = source
    del source
    with pytest.raises(RaceError, match="the reuse of"):
        stream.synchronize()


def test_memory_of_the_driver_is_freed_when_all_is_done(machine):
    from .in_cupy import cupy

    memory = cupy.cuda.Memory(16)
    source = cupy.ndarray((4,), np.float32, cupy.cuda.MemoryPointer(memory, 0))
    source.set(ONES)
    array = cupy.zeros(4, np.float32)
    cupy.cuda.get_current_stream().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        array[...] = source
    del source, memory
    with stream:
        assert cupy.asnumpy(array).tolist() == ONES.tolist()


def test_freed_memory_is_poisoned(machine):
    tensor = torch.ones(COUNT, device="cuda")
    block = machine.blocks.at(tensor.data_ptr())
    torch.cuda.synchronize()
    assert block.bytes.tobytes() == ONES.tobytes()
    del tensor
    torch.cuda.synchronize()
    assert set(block.bytes.tolist()) == {0xA5}


def test_new_memory_is_not_zero(machine):
    assert torch.empty_like(torch.ones(COUNT, device="cuda")).tolist() != [0.0] * COUNT


# --- devices -------------------------------------------------------------------------------------


def test_memory_of_another_device(machine):
    there, here = (torch.ones(COUNT, device=f"cuda:{i}") for i in (1, 0))
    with pytest.raises(RuntimeError, match="same device"):
        here.add_(there)
    here.copy_(there)
    assert here.tolist() == [1.0] * COUNT


def test_a_copy_between_devices_has_the_order_of_both_streams(machine):
    there, here = torch.zeros(COUNT, device="cuda:1"), torch.zeros(COUNT, device="cuda:0")
    there.fill_(3.0)
    here.copy_(there)
    there.fill_(4.0)
    assert here.add_(1.0).tolist() == [4.0] * COUNT


def test_cupys_kernels_take_arrays_of_the_current_device_only(machine):
    from .in_cupy import cupy

    array = cupy.zeros(4, np.float32)
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="the array is on cuda:0"):
        array.fill(1.0)


# --- graphs --------------------------------------------------------------------------------------


def test_a_capture_does_nothing_and_a_replay_does_it(tensor):
    tensor.fill_(1.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tensor.mul_(2.0)
    assert tensor.tolist() == [1.0] * COUNT
    graph.replay()
    graph.replay()
    assert tensor.tolist() == [4.0] * COUNT


def test_a_replay_reads_what_lies_there_now(tensor):
    factor = torch.ones(1, device="cuda")
    tensor.fill_(1.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tensor.mul_(factor)
    factor.fill_(5.0)
    graph.replay()
    assert tensor.tolist() == [5.0] * COUNT


def forks(tensor, joins=True):
    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    tensor[:2].add_(1.0)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        tensor[2:].add_(2.0)
    if joins:
        main.wait_stream(side)
    tensor.mul_(2.0)
    main.wait_stream(side)


def test_a_graph_of_two_streams(tensor):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forks(tensor)
    graph.replay()
    assert tensor.tolist() == [2.0, 2.0, 4.0, 4.0]


def test_a_race_in_a_graph(tensor):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forks(tensor, joins=False)
    graph.replay()
    with pytest.raises(RaceError, match="mul_"):
        torch.cuda.synchronize()


def test_a_replay_that_uses_freed_memory(tensor):
    source = torch.ones(COUNT, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tensor.copy_(source)
    del source
    graph.replay()
    with pytest.raises(MemoryFault, match=r"enqueued when this was freed: .*memory of cuda:0"):
        torch.cuda.synchronize()


def test_what_a_capture_allocates_belongs_to_its_graph(tensor):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tensor.copy_(torch.ones(COUNT, device="cuda"))
    for _ in range(2):
        graph.replay()
    assert tensor.tolist() == [1.0] * COUNT


FORBIDDEN = {
    "waiting for a device": lambda tensor, event: torch.cuda.synchronize(),
    "waiting for the stream": lambda tensor, event: torch.cuda.current_stream().synchronize(),
    "waiting for another stream": lambda tensor, event: torch.cuda.default_stream().synchronize(),
    "waiting for an event": lambda tensor, event: event.synchronize(),
    "asking for an event": lambda tensor, event: event.query(),
    "reading": lambda tensor, event: tensor.cpu(),
    "reading a number": lambda tensor, event: float(tensor[0]),
    "a copy from pageable memory": lambda tensor, event: tensor.copy_(torch.ones(COUNT)),
    "pinned memory": lambda tensor, event: torch.empty(1, device="cpu", pin_memory=True),
}


@pytest.mark.parametrize("call", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_a_capture_forbids(tensor, call):
    event = torch.cuda.Event()
    event.record()
    torch.cuda.synchronize()
    with pytest.raises(CaptureError), torch.cuda.graph(torch.cuda.CUDAGraph()):
        call(tensor, event)


def test_a_captured_event_cannot_be_asked_for_later_either(tensor):
    event = torch.cuda.Event()
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        tensor.add_(1.0)
        event.record()
    with pytest.raises(CaptureError, match="an event that is captured"):
        event.query()


def test_a_first_call_of_cupys_kernels_while_a_graph_is_captured(machine):
    from .in_cupy import cupy

    array, runtime = cupy.zeros(4, np.float32), cupy.cuda.runtime
    cupy.cuda.get_current_stream().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture(runtime.streamCaptureModeGlobal)
        with pytest.raises(CaptureError, match="loads CuPy's kernel fill"):
            array.fill(1.0)
        stream.end_capture()
        stream.begin_capture()
        array.fill(1.0)
        stream.end_capture().launch()
        assert cupy.asnumpy(array).tolist() == [1.0] * 4
