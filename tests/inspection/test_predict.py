from dataclasses import replace

import pytest

from gpuopt.inspection.cases import ARCHS
from gpuopt.inspection.facts import Facts, Main
from gpuopt.inspection.gpus import ARCH, GPUS, resident_warps
from gpuopt.inspection.predict import bytes_in_flight, predict, predictions, warps
from tests.tolerances import assert_close

from .conftest import case_of

MAIN = Main(16, 12, 28, {16: 28}, 36, 80, 1.25, {"fp32": 20.0, "special": 2.0}, 128)
FACTS = Facts(case_of(), 60, 0, 0, 0, 0, 128, 8192, 1000, (), (), MAIN, "")
A100 = next(gpu for gpu in GPUS if gpu.name == "A100")
H100 = next(gpu for gpu in GPUS if gpu.name == "H100")


@pytest.mark.parametrize(
    ("arch", "registers", "threads", "expected"),
    [
        (90, 32, 128, 64),
        (90, 33, 128, 48),  # 33 are given as 40: twelve warps on each of four schedulers
        (90, 60, 128, 32),
        (90, 65, 128, 28),
        (90, 255, 128, 8),
        (75, 32, 128, 32),  # Turing holds no more
        (89, 32, 128, 48),
        (90, 128, 256, 16),
        (90, 72, 256, 24),  # 28 would fit, and blocks have eight
    ],
)
def test_resident_warps(arch, registers, threads, expected):
    assert resident_warps(arch, registers, threads) == expected


def test_bytes_in_flight():
    assert warps(FACTS) == 32
    assert bytes_in_flight(FACTS) == 32 * 32 * 128


def test_memory_limits_adam():
    (one, _) = predictions(FACTS)
    assert (one.gpu, one.limiter, one.fraction) == (H100, "memory", 1)
    # 37.25 instructions at 4 * 32 a cycle, beside 28 bytes at 3,350 GB/s
    expected = (37.25 / (128 * 132 * 1.98)) / (28 / 3350)
    assert_close(one.busiest, expected, "ratio float64")
    assert_close(one.latency, 32 * 32 * 128 * 132 / 3350, "ratio float64")


@pytest.mark.parametrize(
    ("change", "limiter", "lanes", "count"),
    [
        ({"instructions": 998.75}, "instruction issue", 128, 1000),
        ({"instructions": 900, "pipes": {"fp32": 900.0}}, "float32 units", 64, 900),
        ({"pipes": {"fp64": 900.0}}, "float64 units", 32, 900),
        ({"pipes": {"special": 200.0}}, "special function units", 16, 200),
    ],
)
def test_other_limiters(change, limiter, lanes, count):
    facts = replace(FACTS, case=case_of(arch=80), main=replace(MAIN, **change))
    one = predict(facts, A100)
    assert one.limiter == limiter
    memory, busy = 28 / 2039, count / (lanes * 108 * 1.41)
    assert_close(one.fraction, memory / busy, "ratio float64")


def test_kernels_without_a_main_path_have_no_prediction():
    assert predictions(replace(FACTS, main=None)) == []
    assert bytes_in_flight(replace(FACTS, main=None)) == 0


def test_the_table_of_gpus():
    names = ["T4", "A10", "L4", "A100", "L40S", "H100", "H200", "B200", "RTX 4090", "RTX 5090"]
    assert [gpu.name for gpu in GPUS] == names
    assert set(ARCH) == set(ARCHS) == {gpu.arch for gpu in GPUS}
    for gpu in GPUS:
        assert "NVIDIA" in gpu.source and "20" in gpu.source


RATES = {  # float32, in TFLOPS, as NVIDIA publishes them
    "T4": 8.1,
    "A10": 31.2,
    "L4": 30.3,
    "A100": 19.5,
    "L40S": 91.6,
    "H100": 67,
    "H200": 67,
    "B200": 75,
    "RTX 4090": 82.6,
    "RTX 5090": 104.8,
}


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_multiprocessors_and_clock_give_the_published_rate(gpu):
    rate = gpu.multiprocessors * gpu.clock * ARCH[gpu.arch].lanes["fp32"] * 2 / 1000
    assert_close(rate, RATES[gpu.name], "published rate")
