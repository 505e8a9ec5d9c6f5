"""Measurement of times, memory and threads, and of kernels on a device."""

import doctest
import importlib
import pkgutil
import sys
from itertools import combinations
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

import benchmarks
from benchmarks import copyloop, cuda, memory, timing
from benchmarks.models import MODELS, elements
from benchmarks.step import Step


def test_extra_memory_is_seen():
    def run():
        np.ones(8 << 20)

    extra = memory.extra_bytes(Step(run))
    if extra is None:
        pytest.skip("the operating system does not say")
    assert 60 << 20 < extra < 80 << 20
    assert memory.extra_bytes(Step(lambda: None)) < 4 << 20


def test_contenders_take_turns_with_the_same_number_of_samples():
    calls = []
    steps = {name: Step(lambda name=name: calls.append(name)) for name in "abc"}
    timings = timing.interleaved(steps, rounds=4)
    assert all(len(timings[name].samples) == 4 for name in "abc")
    assert calls[:3] == ["a", "b", "c"]


def test_contenders_have_another_predecessor_in_each_round():
    taken, steps = [], {name: Step(lambda: None) for name in "abc"}
    clock = SimpleNamespace(
        first=lambda step: 0.0,
        repeats=lambda step: 1,
        sample=lambda step, repeats: taken.append(step) or timing.Sample(1.0),
    )
    timing.interleaved(steps, 3, clock)
    assert [name for one in taken for name in steps if steps[name] is one] == list("abcbcacab")


def test_the_caches_are_emptied_before_each_step_and_outside_the_clock(monkeypatch):
    calls, times = [], iter(range(100))
    monkeypatch.setattr(timing, "empty_cache", lambda: (calls.append("empty"), next(times)))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    clock = timing.HostClock(cold=True)
    assert clock.sample(Step(lambda: calls.append("step")), 3) == timing.Sample(1.0)
    assert calls == ["empty", "step"] * 3


def test_the_processors_time_is_not_the_clocks(monkeypatch):
    monkeypatch.setattr(timing.time, "perf_counter", lambda: pytest.fail("the clock's"))
    monkeypatch.setattr(timing.time, "process_time", iter(range(100)).__next__)
    clock = timing.HostClock(processor=True)
    assert clock.first(Step(lambda: None)) == 1.0
    assert clock.sample(Step(lambda: None), 4) == timing.Sample(0.25)


def test_what_empties_the_caches_is_larger_than_they_are(monkeypatch):
    monkeypatch.undo()
    assert timing._filler().nbytes >= 2 * timing.cache_bytes() >= 64 << 20
    before = int(timing._filler()[0])
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "2")
    with mock.patch.object(np, "add", wraps=np.add) as add:
        timing.empty_cache()
    assert (timing._filler() == before + 1).all()
    assert [len(call.args[0]) for call in add.call_args_list] == [len(timing._filler()) / 2] * 2


def test_threads_are_given_back(monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "3")
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    with timing.threads(1):
        assert timing.os.environ["GPUOPT_NUM_THREADS"] == "1"
        assert torch is None or torch.get_num_threads() == 1
    assert timing.os.environ["GPUOPT_NUM_THREADS"] == "3"
    assert torch is None or torch.get_num_threads() == before


def test_the_models_have_their_published_sizes():
    assert (len(MODELS["gpt2"]), elements(MODELS["gpt2"])) == (148, 124_439_808)
    assert (len(MODELS["llama-1b"]), elements(MODELS["llama-1b"])) == (146, 1_235_814_400)
    assert (len(MODELS["resnet50"]), elements(MODELS["resnet50"])) == (161, 25_557_032)


def test_the_copy_loop_reads_and_writes_memory_of_its_own():
    pytest.importorskip("numba")
    try:
        before = memory.resident_bytes()
    except OSError:
        pytest.skip("the operating system does not say")
    step = copyloop.move_lists(4 << 20, 4)
    after = memory.resident_bytes()
    assert after - before > 60 << 20  # also of the list that is only read
    step.run()


@pytest.mark.parametrize("size", [1 << 13, 1 << 15, 1000])
def test_the_lists_of_the_copy_loop_do_not_share_offsets_in_their_pages(size, monkeypatch):
    made = []
    monkeypatch.setattr(copyloop, "_moving", lambda arrays, _: made.extend(arrays))
    copyloop.move_lists(size, 4)
    offsets = [array.ctypes.data for array in made]
    assert all(offset % 64 == 0 for offset in offsets)
    assert len({offset % 4096 // 64 for offset in offsets}) == len(offsets) == 4
    assert all(len(array) == size for array in made)
    assert not any(np.shares_memory(a, b) for a, b in combinations(made, 2))


def test_kernels_are_told_from_copies_and_from_the_host():
    def event(kind, name):
        return SimpleNamespace(device_type=f"DeviceType.{kind}", name=name)

    assert cuda._is_kernel(event("CUDA", "multi_tensor_update"))
    assert not cuda._is_kernel(event("CUDA", "Memcpy HtoD (Pageable -> Device)"))
    assert not cuda._is_kernel(event("CPU", "cudaLaunchKernel"))


MODULES = [
    module.name
    for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, raise_on_error=True).failed == 0
