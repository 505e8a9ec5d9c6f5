"""16-bit parameters: what masters, compensation and chance keep of small updates."""

from itertools import combinations

import ml_dtypes
import numpy as np
import pytest
from gpuopt.kernels import roundings
from gpuopt.kernels.numpy.blocks import BLOCK
from gpuopt.kernels.storage import decode_bfloat16, encode_bfloat16

import gpuopt
from gpuopt import SGD
from tests.helpers.bits import assert_same_bits

BF16 = ml_dtypes.bfloat16


def drift(steps=400, **options):
    """Where 1,000 weights of 1 arrive by steps that are too small for bfloat16: 1 - steps/4096."""
    params = [np.ones(1000, BF16)]
    opt = SGD(params, lr=1.0 / 4096, **options)
    for _ in range(steps):
        opt.step([np.ones(1000, BF16)])
    return params[0].astype(np.float64)


def test_plain_bfloat16_does_not_move():
    assert (drift() == 1.0).all()


@pytest.mark.parametrize("way", ["master_weights", "kahan_sum"])
def test_masters_and_compensation_arrive(way):
    exact = 1 - 400 / 4096
    assert np.abs(drift(**{way: True}) - exact).max() <= 2.0**-9  # half a step of bfloat16


def test_chance_arrives_on_average():
    moved = drift(stochastic_rounding=True, seed=5)
    exact = 1 - 400 / 4096
    assert moved.std() > 0
    # A weight takes about 25 steps of 2**-8, each by chance: five standard errors of the mean.
    assert abs(moved.mean() - exact) < 5 * moved.std() / np.sqrt(moved.size)


@pytest.mark.parametrize("value", [1.003, -0.7001, 3e-39, 1e30, 1.0, 0.0, 2.5])
def test_rounding_by_chance_is_right_on_average(value):
    x = np.full(1 << 16, value, np.float32)
    rounded = roundings.stochastic_bfloat16(x, np.arange(1 << 16), *map(np.float32, (1, 2, 3, 4)))
    low = decode_bfloat16((x.view(np.uint32) >> 16).astype(np.uint16))[0].astype(np.float64)
    high = decode_bfloat16(((x.view(np.uint32) >> 16) + 1).astype(np.uint16))[0].astype(np.float64)
    if float(x[0]) == low:
        assert (rounded == x).all()
        return
    share = (float(x[0]) - low) / (high - low)
    up = (rounded == np.float32(high)).mean()
    assert set(rounded.tolist()) <= {np.float32(low), np.float32(high)}
    assert abs(up - share) < 5 * np.sqrt(share * (1 - share) / x.size)


def test_infinities_and_nan_stay():
    x = np.array([np.inf, -np.inf, np.nan, -0.0], np.float32)
    x = np.concatenate([x, np.array([0xFFFFFFFF, 0x7F800001], np.uint32).view(np.float32)])
    for element in range(100):
        rounded = roundings.stochastic_bfloat16(
            x, np.full(x.size, element), *map(np.float32, (0, 7, 0, 1))
        )
        assert_same_bits(rounded, x)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "5f6fb709 0d893f64 4f121f81 4f730a48"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "4dfccaba 190a87f0 c47362ba b6b5242a",
        ),
    ],
)
def test_philox_gives_the_words_that_its_authors_publish(counter, key, words):
    """The known answers of Random123, for seven rounds."""
    found = roundings.philox(tuple(map(np.uint64, counter)), tuple(map(np.uint64, key)))
    assert " ".join(f"{int(word):08x}" for word in found) == words


def test_the_bits_are_of_the_seed_the_step_and_the_element():
    element = np.arange(1000)
    first = roundings.random_bits(element, 1, 2)
    assert_same_bits(first[400:], roundings.random_bits(element[400:], 1, 2))
    for seed, step in ((1, 3), (2, 2), (1, 2 + 2**32)):
        assert (first != roundings.random_bits(element, seed, step)).mean() > 0.99
    other_stream = roundings.random_bits(element + roundings.STREAM, 1, 2)
    assert (first != other_stream).mean() > 0.99
    assert len(set(first.tolist())) > 990


def test_tensors_and_seeds_have_noise_of_their_own():
    def noise(seed):
        params = [np.ones(2000, BF16), np.ones(2000, BF16)]
        opt = SGD(params, lr=2.0**-9, stochastic_rounding=True, seed=seed)
        opt.step([np.ones(2000, BF16)] * 2)
        return params

    (a, b), (c, _), (again, _) = noise(1), noise(2), noise(1)
    assert_same_bits(a, again)
    for other in (b, c):
        assert 0.4 < (a == other).mean() < 0.6


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_blocks_of_a_tensor_have_noise_of_their_own(backend):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    params = [np.ones(3 * BLOCK, BF16)]
    with gpuopt.use_backend(backend):
        opt = SGD(params, lr=2.0**-9, stochastic_rounding=True)
        opt.step([np.ones(3 * BLOCK, BF16)])
    parts = params[0].reshape(3, BLOCK)
    for one, other in combinations(parts, 2):
        assert 0.4 < (one == other).mean() < 0.6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_compensation_of_hostile_values_has_the_same_bits(dtype, backend):
    kind = BF16 if dtype == "bfloat16" else np.float16
    values = np.arange(1 << 16, dtype=np.uint16).view(kind)
    params = [values.copy()]
    with gpuopt.use_backend(backend):
        opt = SGD(params, lr=2.0**-12, kahan_sum=True)
        opt.step([values.copy()])
    with np.errstate(all="ignore"):
        x = values.astype(np.float32)
        moved = (x + np.float32(0)) - np.float32(2.0**-12) * x
        stored = moved.astype(kind)
        cut = (moved - stored.astype(np.float32)).astype(kind)
    assert_same_bits(params[0], stored)
    assert_same_bits(np.asarray(opt.state[0]["kahan_comp"]), cut)


def test_rounding_is_that_of_ml_dtypes():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 1 << 16, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        assert_same_bits(roundings.round_bfloat16(x), x.astype(BF16).astype(np.float32))
        assert_same_bits(roundings.round_float16(x), x.astype(np.float16).astype(np.float32))
    assert encode_bfloat16(np.float32([1.0]))[0] == 0x3F80
