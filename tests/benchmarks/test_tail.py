"""The tail suite compares equal computations, and counts the bytes of both."""

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
def test_a_peer_that_computes_something_else_is_refused(dtype, wrong, monkeypatch):
    place = torch if wrong.startswith("_") else torch.nn.utils
    monkeypatch.setattr(place, wrong, lambda *args, **kwargs: None)
    with pytest.raises(RuntimeError, match="do not compute the same"):
        tail.check(SHAPES, dtype, "cpu")


@pytest.mark.parametrize(("dtype", "ours", "torchs"), [("float32", 40, 52), ("bfloat16", 38, 64)])
def test_bytes_are_counted(dtype, ours, torchs):
    """By hand: a read of g; then p, m, v and the EMA read and written, and g read once more."""
    assert tail.bytes_of_ours(dtype) == ours
    assert sum(tail.TORCH_BYTES[dtype]) == torchs


def test_a_state_that_stands_still_is_told(monkeypatch, capsys):
    stuck = [{"m": 1.0}, {"m": 1.0}], [{"m": 1.0}, {"m": 0.1}]
    assert state_dtype.differences(*stuck)["m"] > 8.9
    assert state_dtype.main(["--rules", "momentum", "--betas", "0.9", "--steps", "40"]) == 0
    assert "momentum_buffer" in capsys.readouterr().out
    monkeypatch.setattr(state_dtype, "differences", lambda found, expected: {"m": float("nan")})
    assert state_dtype.main(["--rules", "momentum", "--betas", "0.9", "--steps", "1"]) == 1
    assert "NO: bfloat16, float16" in capsys.readouterr().out


def test_betas_that_never_forget_are_refused():
    with pytest.raises(SystemExit):
        state_dtype.main(["--betas", "1.0"])
