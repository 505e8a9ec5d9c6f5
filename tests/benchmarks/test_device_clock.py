"""The clock of a CUDA device, on a stand-in: what passes on the device alone is its time."""

import gc

import pytest

from benchmarks import __main__ as command
from benchmarks import (
    buffers,
    check,
    compare,
    copyloop,
    cuda,
    gpu_state,
    lines,
    measure,
    pictures,
    timing,
)
from benchmarks.cases import CASES
from benchmarks.lines import Group, Line, Place, Run
from benchmarks.ours import OURS
from benchmarks.peers import PEERS
from benchmarks.step import Step
from benchmarks.suites import tail
from tests.helpers.fake_cuda import FakeTorch

from .test_command import check as check_schema

KERNEL = 30e-6


@pytest.fixture
def torch(monkeypatch):
    """The stand-in, instead of torch and of the host's clock."""

    def use(**how):
        fake = FakeTorch(**how)
        monkeypatch.setattr(cuda, "import_torch", lambda: fake)
        monkeypatch.setattr(buffers, "import_torch", lambda: fake)
        monkeypatch.setattr(cuda.time, "perf_counter", fake.perf_counter)
        return fake

    return use


def taken(step, rounds=3):
    """The timing of a step, alone."""
    return timing.interleaved({"it": step}, rounds, cuda.DeviceClock())["it"]


@pytest.mark.parametrize("host", [1e-6, 100e-6, 10e-3])
def test_the_host_is_no_part_of_the_devices_time(torch, host):
    fake, collects = torch(), []

    def run():
        collects.append(gc.isenabled())
        fake.launch(KERNEL, host)
        fake.launch(KERNEL, host)

    found, collects = taken(Step(run)), collects[1:]
    assert not any(collects)
    assert found.samples == pytest.approx([2 * KERNEL] * 3)
    assert found.host == pytest.approx([2 * host] * 3)
    assert found.waits is False


def test_the_copy_is_timed_as_a_step_is(torch):
    fake = torch()
    step = Step(lambda: (fake.work(300e-6), fake.launch(KERNEL)))
    copy = Step(lambda: fake.launch(KERNEL))
    found = timing.interleaved({"copy": copy, "step": step}, 3, cuda.DeviceClock())
    assert found["step"].ratio(found["copy"]) == pytest.approx(1.0)


@pytest.mark.parametrize("clock", [0.3e9, 2e9, 12e9])
def test_a_sleep_that_is_too_short_is_doubled(torch, clock):
    """Beside a clock that is faster than is assumed, and one that is slower."""
    fake = torch(clock=clock)
    found = taken(Step(lambda: fake.launch(KERNEL, host=5e-3)))
    assert found.samples == pytest.approx([KERNEL] * 3)
    assert found.waits is False
    assert max(fake.slept) < 4 * cuda.LONGEST * cuda.CYCLES / clock


def test_a_host_that_was_slow_once_is_timed_again(torch):
    fake = torch()
    hosts = iter([1e-3] * 20 + [50e-3] + [1e-3] * 1000)
    found = taken(Step(lambda: fake.launch(KERNEL, next(hosts))))
    assert found.samples == pytest.approx([KERNEL] * 3)
    assert found.host == pytest.approx([1e-3] * 3)
    assert found.waits is False
    assert fake.slept[-1] == pytest.approx(min(fake.slept))


def waiting(fake):
    """Two kernels, and a wait between them."""
    fake.launch(KERNEL, 10e-6)
    fake.synchronize()
    fake.launch(KERNEL, 10e-6)


def many(fake):
    """More kernels than the queue holds."""
    for _ in range(1200):
        fake.launch(1e-6, 5e-6)


def slow(fake):
    """A host that is slow, and waits."""
    fake.launch(KERNEL, 60e-3)
    fake.synchronize()


@pytest.mark.parametrize(
    ("run", "device", "host"),
    [(waiting, 80e-6, 50e-6), (many, 6e-3, 6e-3), (slow, 60e-3, 60e-3)],
    ids=["waits", "many", "slow"],
)
def test_a_step_that_no_sleep_hides_is_timed_without_one_and_told(torch, run, device, host):
    fake = torch(flush=0.0)
    clock = cuda.DeviceClock()
    step = Step(lambda: run(fake))
    repeats = clock.repeats(step)
    before = len(fake.slept)
    assert max(fake.slept) <= cuda.LONGEST * cuda.CYCLES / 2e9
    found = clock.sample(step, repeats)
    assert found.waits is True
    assert found.seconds == pytest.approx(device, rel=0.01)
    assert found.host == pytest.approx(host, rel=0.01)
    assert len(fake.slept) == before
    assert measure.waiting({"a": timing.Timing.of([found], 1, 1.0)})[0].endswith("a step of a")


def test_the_cache_is_flushed_before_each_step_and_outside_the_events(torch):
    fake = torch()
    clock = cuda.DeviceClock()
    step = Step(lambda: fake.launch(KERNEL))
    repeats = clock.repeats(step)
    assert cuda.FEWEST < repeats <= cuda.MOST
    before = fake.flushed
    assert clock.sample(step, repeats).seconds == pytest.approx(KERNEL)
    assert fake.flushed == before + repeats


def test_a_slow_step_is_taken_a_few_times(torch):
    fake = torch()
    assert cuda.DeviceClock().repeats(Step(lambda: fake.launch(0.1))) == cuda.FEWEST


def test_the_first_step_includes_the_wait_for_the_device(torch):
    fake = torch()
    assert cuda.DeviceClock().first(Step(lambda: fake.launch(0.1, 0.2))) == pytest.approx(0.3)


@pytest.mark.parametrize("moved", [900, 2000, 28_672])
def test_the_copy_moves_the_bytes_of_a_step_in_parts(monkeypatch, moved):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(cuda, "COPIED", 1000)
    copied, copy = [], torch.Tensor.copy_
    monkeypatch.setattr(torch.Tensor, "copy_", lambda to, of: copied.append(copy(to, of).nbytes))
    cuda.copy_step(moved, "cpu").run()
    assert 2 * sum(copied) == moved
    assert max(copied) <= 1000


def test_the_copy_on_a_device_moves_what_a_step_has_to(monkeypatch):
    shared = buffers.SharedBuffers(((64,), (32,)), ("a", "b"))
    shared.device = "cuda"
    monkeypatch.setattr(cuda, "copy_step", lambda *asked: asked)
    assert copyloop.copy_loop(CASES["adam"], shared) == (28 * 96, "cuda")


# --- what is made of it ---------------------------------------------------------------------------

STATE = {
    **{"uuid": "GPU-1-2-3", "name": "H100", "driver": "580.65.06", "ECC": None},
    **{"SM clock, MHz": 1980, "memory clock, MHz": 2619, "temperature, C": 40},
}


@pytest.fixture
def device_run(run, torch, monkeypatch):
    """Run the command as if this CPU were a CUDA device: kernels are launched, NumPy works."""
    fake = torch()

    def shared(shapes, states, dtype="float32", device="cpu"):
        return buffers.SharedBuffers(shapes, states, dtype)

    def enqueued(seconds, contender):
        def make(case, buffers):
            step = contender(case, buffers)
            return Step(lambda: (fake.launch(seconds, 50e-6), step.run()), step.context)

        return make

    def waits(case, buffers):
        step = peers["torch fused"](case, buffers)
        return Step(lambda: (fake.launch(KERNEL), fake.synchronize(), step.run()))

    for module in (measure, check):
        monkeypatch.setattr(module, "SharedBuffers", shared)
    peers = {"torch fused": enqueued(2 * KERNEL, PEERS["cpu"]["textbook NumPy"])}
    ours = {"triton": enqueued(KERNEL, OURS["cpu"]["numpy"])}
    monkeypatch.setitem(OURS, "cuda", ours)
    monkeypatch.setitem(PEERS, "cuda", {**peers, "apex": waits})
    copy = Step(lambda: fake.launch(KERNEL / 2))
    monkeypatch.setattr(measure, "copy_loop", lambda case, buffers: copy)
    monkeypatch.setattr(command, "_cuda_problem", lambda: None)
    states = iter([(STATE, None), ({**STATE, "SM clock, MHz": 1500}, None)])
    monkeypatch.setattr(gpu_state, "device_state", lambda: next(states))
    return lambda *asked: run(*asked, "--device", "cuda", "--peers", "torch fused", "apex")


def test_device_and_host_are_two_columns_of_everything(device_run, tmp_path, capsys):
    report = tmp_path / "report.md"
    data = device_run("--size", "10", "--report", str(report))
    found = {line["contender"]: line for line in data["groups"][0]["lines"]}
    assert found["triton"]["seconds"]["samples"] == pytest.approx([KERNEL] * 2)
    assert found["triton"]["of_copy"] == pytest.approx(0.5)
    assert found["triton"]["times_as_fast_as"]["torch fused"] == pytest.approx(2.0)
    assert found["triton"]["host_seconds"] == pytest.approx(50e-6)
    assert found["copy"]["host_seconds"] == pytest.approx(5e-6)
    waits = {name: line["waits"] for name, line in found.items()}
    assert waits == {"copy": False, "triton": False, "torch fused": False, "apex": True}
    shown = capsys.readouterr().out
    for text in (shown, report.read_text()):
        assert "the device waits for the host during a step of apex" in text
        assert "the SM clock fell from 1980 to 1500 MHz during the run" in text
    head = next(line for line in shown.splitlines() if "host" in line)
    assert head.split()[:2] == ["device", "host"]
    assert "| temperature, C | 40 | 40 |" in report.read_text()
    assert "H100, driver 580.65.06, SM clock 1500 MHz, memory clock 2619 MHz, 1 warning" in (
        report.read_text()
    )
    assert Run.from_json(data).to_json() == data
    check_schema(data)


def test_the_picture_of_tensors_has_a_panel_for_each_time(device_run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    panels = []
    monkeypatch.setattr(pictures, "_curves", lambda axes, points, looks: panels.append(points))
    device_run("--suite", "host", "--tensors", "1", "3", "--plot", str(tmp_path))
    device, host = panels[-2:]
    assert dict(device["triton"]) == pytest.approx({1: 1e6 * KERNEL, 3: 1e6 * KERNEL})
    assert dict(host["triton"]) == pytest.approx({1: 50.0, 3: 50.0})
    assert "copy" not in {**device, **host}


def test_the_tail_is_beside_a_copy_and_counts_its_own_bytes(device_run, torch, monkeypatch):
    pytest.importorskip("torch")
    fake, copied = torch(), []

    def copy(moved, device):
        copied.append((moved, device))
        return Step(lambda: fake.launch(KERNEL))

    def contender(seconds):
        return lambda *_: Step(lambda: fake.launch(seconds))

    monkeypatch.setattr(tail, "check", lambda *_: None)
    monkeypatch.setattr(tail, "_ours", contender(2 * KERNEL))
    monkeypatch.setattr(tail, "_torchs", contender(4 * KERNEL))
    monkeypatch.setattr(cuda, "copy_step", copy)
    (group,) = device_run("--suite", "tail", "--size", "100")["groups"]
    assert copied == [(2800, "cuda")]
    parts = {line["contender"]: line["of_copy"] for line in group["lines"]}
    assert parts == pytest.approx(
        {"copy": 1.0, tail.OURS: 0.5 * 40 / 28, tail.TORCHS: 0.25 * 52 / 28}
    )


def test_memory_that_is_not_there_leaves_out_a_group_alone(device_run, monkeypatch):
    whole = measure.SharedBuffers

    def limited(shapes, *rest):
        if shapes[0][0] > 10:
            raise MemoryError("too much")
        return whole(shapes, *rest)

    monkeypatch.setattr(measure, "SharedBuffers", limited)
    small, large = device_run("--size", "10..80")["groups"]
    assert small["lines"] and not large["lines"]
    assert set(large["left_out"].values()) == {"failed: MemoryError: too much"}


def test_a_slower_host_is_a_regression_where_the_device_is_as_fast():
    place = Place("host", "adam", "float32", "3 tensors", "cuda")

    def a_run(host):
        line = Line(place, "triton", True, 3, 192, seconds={"median": 1e-5}, host_seconds=host)
        return Run({}, [Group(place, [line])])

    found = list(compare.changes(a_run(1e-4), a_run(2e-4)))
    assert [change.failed(0.1) for change in found] == [False, True]
    assert found[1].row(0.1)[1:] == ("100 us of the host", "200 us of the host", "+100%", "FAILED")


def test_the_warnings_of_several_runs_are_kept():
    def a_run(*warnings):
        return Run({"command": "", "gpu": {"before": {}, "after": STATE, "warnings": warnings}}, [])

    merged = lines.merged([a_run("hot"), a_run("hot", "busy")]).facts["gpu"]
    assert merged == {"before": {}, "after": STATE, "warnings": ["hot", "busy"]}
