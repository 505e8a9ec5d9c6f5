"""The suite cache: an element's time is the arithmetic's, without what a call costs."""

import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from benchmarks import timing  # noqa: E402
from benchmarks.lines import Place  # noqa: E402
from benchmarks.report import cells  # noqa: E402
from benchmarks.step import Step  # noqa: E402
from benchmarks.suites import Settings, cache  # noqa: E402
from benchmarks.suites.storage import STORAGES  # noqa: E402

SETTINGS = Settings([], ["float32"], {}, [], rounds=3)
CALL, ELEMENT = 100, 2


class Counted:
    """Contenders that take a number of ticks for a call, and some for each element."""

    def __init__(self, monkeypatch):
        self.ticks, self.threads = 0, set()
        monkeypatch.setattr(timing.time, "process_time", lambda: self.ticks * 1e-9)
        monkeypatch.setattr(time, "sleep", lambda _: None)

    def of(self, call, element):
        def make(place, shapes):
            ((size,),) = shapes

            def run():
                self.threads.add((timing.os.environ["GPUOPT_NUM_THREADS"], torch.get_num_threads()))
                self.ticks += call + element * size

            return Step(run)

        return make


def group(monkeypatch, ours, torchs=(100, 6), copy=(50, 1)):
    counted = Counted(monkeypatch)
    monkeypatch.setattr(cache, "walk", lambda options, *where: counted.of(*ours)(*where))
    monkeypatch.setattr(cache, "torch_step", counted.of(*torchs))
    monkeypatch.setattr(cache, "copy_of", counted.of(*copy))
    (found,) = cache.run(SETTINGS)
    return found, counted


@pytest.mark.parametrize("call", [0, 100, 100_000])
def test_what_a_call_costs_does_not_count(monkeypatch, call):
    found, counted = group(monkeypatch, (call, 2), (call, 6), (call, 1))
    assert [line.contender for line in found.lines] == ["copy", *STORAGES["float32"], "torch fused"]
    for line in found.lines:
        ticks = {"copy": 1, "torch fused": 6}.get(line.contender, 2)
        assert line.seconds_an_element == pytest.approx(1e-9 * ticks)
        assert line.gigabytes_per_second == pytest.approx(line.bytes / line.elements / ticks)
        assert line.of_copy == pytest.approx(line.bytes / line.elements / ticks / 28)
        assert line.ours == (line.contender in STORAGES["float32"])
        assert line.times_as_fast_as == ({"torch fused": pytest.approx(3.0)} if line.ours else {})
    assert counted.threads == {("1", 1)}


def test_the_table_has_nanoseconds(monkeypatch):
    found, _ = group(monkeypatch, (100, 2))
    head, rows = cells(found)
    assert [row[head.index("ns/element")] for row in rows] == ["1", "2", "2", "2", "6"]


def test_what_is_lost_in_the_noise_has_no_line(monkeypatch):
    found, _ = group(monkeypatch, (100_000, -1), copy=(100_000, 0))
    assert [line.contender for line in found.lines] == ["torch fused"]
    assert set(found.left_out) == {"copy", *STORAGES["float32"]}
    assert all(why.startswith("lost in the noise") for why in found.left_out.values())
    assert found.lines[0].of_copy is None


@pytest.mark.parametrize("dtype", STORAGES)
def test_a_walk_updates_and_its_memory_lives(dtype, monkeypatch):
    params = []
    make = cache.new_params
    monkeypatch.setattr(cache, "new_params", lambda *where: params.extend(make(*where)) or params)
    for options in STORAGES[dtype].values():
        params.clear()
        step = cache.walk(options, Place("cache", "adamw", dtype, "", "cpu"), ((5000,),))
        (before,) = [param.detach().clone() for param in params]
        with_garbage = [torch.ones(5000) for _ in range(20)]
        for _ in range(30):
            step.run()
        assert (params[0] != before).any()
        assert all((each == 1).all() for each in with_garbage)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("+sse2,+avx2,+avx512f", "code for znver9, avx512f"),
        ("+avx2,-avx512f", "code for znver9, avx2"),
        ("", "code for znver9, its own features"),
    ],
)
def test_the_table_says_what_the_code_is_for(monkeypatch, features, said):
    from gpuopt.kernels.llvm import object_files

    monkeypatch.setattr(object_files, "processor", lambda: ("znver9", features))
    assert cache.code() == said


@pytest.mark.parametrize(
    ("dtype", "device", "why"),
    [("float64", "cpu", "only in float32 and bfloat16"), ("float32", "cuda", "only on the CPU")],
)
def test_what_is_not_measured_is_named(dtype, device, why):
    (found,) = cache.run(Settings([], [dtype], {}, [], device))
    assert not found.lines
    assert why in found.left_out["torch fused"]
