"""The comparison on a device: where there is none it says so, and nothing comes back to the host.

A library that knows its arrays from NumPy's, as CuPy does, stands for CuPy.
"""

import sys
import types

import numpy as np
import pytest

from gpuopt.demo import comparison, device
from gpuopt.demo.data import Digits, Split

from .test_cli import words


class There(np.ndarray):
    """An array that refuses to meet one of the host's, other than numbers."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert method in ("__call__", "reduce")
        plain = [_taken(x) for x in inputs]
        kwargs.pop("out", None)
        return _there(getattr(ufunc, method)(*plain, **kwargs))

    def __array_function__(self, function, kinds, arguments, kwargs):
        kwargs = {name: value for name, value in kwargs.items() if name != "like"}
        return _there(function(*map(np.asarray, arguments), **kwargs))

    def __getitem__(self, key):
        for part in key if isinstance(key, tuple) else (key,):
            assert not isinstance(part, np.ndarray) or isinstance(part, There), (
                "an index of NumPy's"
            )
        return super().__getitem__(key)


def _taken(value):
    assert isinstance(value, There) or np.ndim(value) == 0, "an array of NumPy's"
    return np.asarray(value)


def _there(value):
    return np.asarray(value).view(There)


@pytest.fixture
def library(monkeypatch):
    """What stands for CuPy, with a device."""
    waits = []
    stream = types.SimpleNamespace(synchronize=lambda: waits.append(1))
    cuda = types.SimpleNamespace(is_available=lambda: True, get_current_stream=lambda: stream)
    made = types.SimpleNamespace(asarray=_there, cuda=cuda, ndarray=There, waits=waits)
    monkeypatch.setitem(sys.modules, "cupy", made)
    return made


class Descent:
    """Gradient descent that checks where its arrays lie."""

    backend = "none"

    def __init__(self, params):
        self.params = params

    def step(self, grads):
        for param, grad in zip(self.params, grads, strict=True):
            assert type(param) is type(grad) is There
            np.asarray(param)[...] -= 0.3 * np.asarray(grad)


def trial():
    def build(params, lr, beta, stats):
        return Descent(params)

    method = types.SimpleNamespace(build=build, lr=0.3, batch_size=None, name="descent")
    return comparison.Trial(method)


def digits():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 60)
    images = rng.random((60, 64), dtype=np.float32)
    return Digits(Split(images, labels), Split(images[:20], labels[:20]))


def test_all_of_the_training_stays_there(library, monkeypatch):
    moved = device.on_device(digits(), "cuda")
    assert type(moved.train.images) is type(moved.test.labels) is There
    monkeypatch.setattr(comparison, "warm_up", lambda trial, params, stats: None)
    result = comparison.run(trial(), moved, comparison.Settings(epochs=3))
    assert result.final.train_loss < result.epochs[0].train_loss
    assert len(library.waits) == 2 * len(result.clock.seconds) == 2 * 3 * 2


def test_without_cupy_it_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    done = command("compare", "--device", "cuda")
    assert done.code == 2
    assert "--device cuda needs CuPy: pip install 'gpuopt[cupy13]'" in words(done.err)


def test_without_a_device_it_says_so(command, library, tmp_path):
    library.cuda.is_available = lambda: False
    done = command("compare", "--device", "cuda")
    assert done.code == 2
    assert "CuPy finds no CUDA device" in words(done.err)
    assert not list(tmp_path.glob("*.png"))


def test_other_devices_are_refused(command):
    done = command("compare", "--device", "tpu")
    assert done.code == 2
    assert "got 'tpu', expected one of cpu, cuda" in words(done.err)
