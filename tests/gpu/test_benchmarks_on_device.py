"""The benchmarks' clock on a device."""

import time

import pytest

from benchmarks import gpu_state
from benchmarks.cuda import DeviceClock
from benchmarks.step import Step
from benchmarks.timing import interleaved

SIZE = 1 << 28


@pytest.fixture
def taken(torch):
    """Return the timing of a step, from three samples."""
    return lambda run: interleaved({"it": Step(run)}, 3, DeviceClock())["it"]


@pytest.fixture
def copy(torch, device):
    """Return a function that copies 256 MiB, behind so many seconds of the host."""
    source, target = (torch.zeros(SIZE, dtype=torch.uint8, device=device) for _ in range(2))

    def copy(seconds):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        target.copy_(source)

    return copy


def test_the_host_is_no_part_of_the_devices_time(taken, copy):
    alone, behind = taken(lambda: copy(0.0)), taken(lambda: copy(5e-3))
    assert alone.waits is behind.waits is False
    assert behind.median < 1.2 * alone.median
    assert behind.median_host >= 5e-3
    assert 1e10 < 2 * SIZE / alone.median < 2e13  # bytes a second


def test_a_step_that_waits_for_the_device_is_told(torch, taken, copy):
    def run():
        copy(1e-3)
        torch.cuda.synchronize()
        copy(1e-3)

    found = taken(run)
    assert found.waits is True
    assert found.median > 1e-3


def test_a_step_of_many_kernels_is_told_or_hidden(torch, device, taken):
    small = torch.zeros(1, device=device)
    found = taken(lambda: [small.add_(1) for _ in range(5000)])
    assert found.median > 5000 * 0.5e-6
    assert found.waits or found.median < 0.1


def test_the_state_of_the_device_is_known(torch):
    state, problem = gpu_state.device_state()
    assert problem is None
    assert state["name"] and state["driver"]
    assert state["SM clock, MHz"] > 0.5 * state["SM clock at most, MHz"]
