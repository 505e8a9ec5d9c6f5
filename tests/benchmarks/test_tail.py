"""The tail's suite compares the same computation, and counts what both move."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from benchmarks import state_dtype  # noqa: E402
from benchmarks.suites import tail  # noqa: E402

SHAPES = ((50,), (7, 3), ())


@pytest.mark.parametrize("dtype", tail.TORCH_BYTES)
def test_both_compute_the_same(dtype):
    tail.check(SHAPES, dtype, "cpu")


@pytest.mark.parametrize("dtype", tail.TORCH_BYTES)
@pytest.mark.parametrize("wrong", ["clip_grad_norm_", "_foreach_lerp_"])
def test_a_rival_that_computes_something_else_is_refused(dtype, wrong, monkeypatch):
    place = torch if wrong.startswith("_") else torch.nn.utils
    monkeypatch.setattr(place, wrong, lambda *args, **kwargs: None)
    with pytest.raises(RuntimeError, match="do not compute the same"):
        tail.check(SHAPES, dtype, "cpu")


@pytest.mark.parametrize(("dtype", "ours", "torchs"), [("float32", 40, 52), ("bfloat16", 38, 64)])
def test_bytes_are_counted(dtype, ours, torchs):
    """By hand: a read of g; then p, m, v and the EMA read and written, and g read once more."""
    assert tail.bytes_of_ours(dtype) == ours
    assert sum(tail.TORCH_BYTES[dtype]) == torchs


def test_the_noise_is_that_of_float32():
    assert state_dtype.within_noise([1.0, 1.2, 1.1], [1.1, 0.9, 1.0])
    assert not state_dtype.within_noise([2.0, 2.1, 2.2], [1.0, 1.1, 0.9])
    assert not state_dtype.within_noise([1.0, 1e6, 1.0], [1.0, 1.1, 0.9])
    assert not state_dtype.within_noise([float("nan")] * 3, [1.0, 1.1, 0.9])


def test_a_training_run_of_every_dtype(monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(state_dtype, "STEPS", 3)
    assert state_dtype.main(["--optimizers", "Adam", "--seeds", "2"]) == 0
    assert "Adam" in capsys.readouterr().out
