"""The suites tail and storage compare equal computations, and count the bytes of all."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from benchmarks import buffers, contest, measure, state_dtype, timing  # noqa: E402
from benchmarks.lines import Place  # noqa: E402
from benchmarks.peers.torch_calls import TorchCalls  # noqa: E402
from benchmarks.step import Unavailable  # noqa: E402
from benchmarks.suites import Settings, storage, tail  # noqa: E402

SHAPES = ((50,), (7, 3), ())


def place(dtype, suite="tail", model="small"):
    return Place(suite, "adam", dtype, model, "cpu")


@pytest.mark.parametrize("dtype", tail.DTYPES)
def test_both_compute_the_same(dtype):
    tail.check(place(dtype), SHAPES)


@pytest.mark.parametrize("dtype", tail.DTYPES)
@pytest.mark.parametrize("wrong", ["clip_grads_with_norm_", "_foreach_lerp_"])
def test_a_peer_that_computes_something_else_is_refused(dtype, wrong, monkeypatch):
    where = torch if wrong.startswith("_") else torch.nn.utils
    monkeypatch.setattr(where, wrong, lambda *args, **kwargs: None)
    with pytest.raises(RuntimeError, match="do not compute the same"):
        tail.check(place(dtype), SHAPES)


def test_the_whole_tail_is_the_same_in_every_way():
    storage.check(place("bfloat16"), SHAPES)


@pytest.mark.parametrize(
    ("part", "off", "what"),
    [
        ("clip_norm", 1e9, "averages"),
        ("ema_decay", 0.25, "averages"),
        ("skip_nonfinite", False, "averages"),
        ("zero_grads", False, "gradients"),
    ],
)
@pytest.mark.parametrize("name", storage.TORCH_TAILS)
def test_a_whole_tail_that_lacks_a_part_is_refused(name, part, off, what, monkeypatch):
    apply = TorchCalls.step
    monkeypatch.setattr(
        TorchCalls, "step", lambda self, each: apply(self, replace(each, **{part: off}))
    )
    monkeypatch.setattr(storage, "TORCH_TAILS", {name: storage.TORCH_TAILS[name]})
    with pytest.raises(RuntimeError, match=f"{name}: {what}: gpuopt and torch do not"):
        storage.check(place("bfloat16"), SHAPES)


@pytest.mark.parametrize("what", range(3), ids=["gradients", "updates", "weights"])
@pytest.mark.parametrize("kind", range(2), ids=["norms", "largest"])
def test_statistics_that_differ_are_refused(what, kind, monkeypatch):
    def step(self, each):
        apply(self, each)
        if len(self.stats) == 3:  # not skipped
            self.stats[what][kind] = [2.0 * value for value in self.stats[what][kind]]

    apply = TorchCalls.step
    monkeypatch.setattr(TorchCalls, "step", step)
    with pytest.raises(RuntimeError, match="statistics: gpuopt and torch do not compute the same"):
        storage.check(place("bfloat16"), SHAPES)


def test_zeroed_gradients_are_back_before_the_clock_starts():
    params = buffers.new_params(SHAPES, "bfloat16", "cpu")
    given = [param.grad.clone() for param in params]
    context = storage.refill(params)
    for param in params:
        param.grad.zero_()
    with context():
        assert all(torch.equal(param.grad, grad) for param, grad in zip(params, given))
        assert all(grad.any() for grad in given)


@pytest.mark.parametrize(("dtype", "ours", "torchs"), [("float32", 40, 52), ("bfloat16", 38, 64)])
def test_bytes_are_counted(dtype, ours, torchs):
    """By hand: a read of g; then p, m, v and the EMA read and written, and g read once more."""
    assert contest.bytes_of("adam", dtype, tail.options_of(dtype)) == ours
    assert tail.TORCH_TAIL.bytes(dtype) == torchs


def test_the_bytes_of_the_whole_tail_are_counted():
    """By hand: g twice and zeroed, p and the rest, both codes with scales, and the EMA."""
    ours = 2 * 3 + 2 * 2 + 1 * 2 + 2 * 2 * (1 + 4 / 32) + 8
    assert contest.bytes_of("adamw", "bfloat16", storage.TAILS["split8, 8bit"]) == ours
    calls = 6 + 4 + 8 + 28 + 12 + 6 + 2
    assert storage.TORCH_TAILS[f"{storage.CLIPS}, no stats"].bytes("bfloat16") == calls
    assert storage.TORCH_TAILS[f"{storage.SCALES}, no stats"].bytes("bfloat16") == calls - 4


@pytest.mark.parametrize("suite", [tail, storage])
def test_what_is_not_the_same_is_not_timed(suite, monkeypatch):
    def wrong(*_):
        raise RuntimeError("not the same")

    monkeypatch.setattr(suite, "check", wrong)
    monkeypatch.setattr(storage, "_bare", lambda settings: SimpleNamespace(groups=lambda *_: ()))
    settings = Settings([], ["bfloat16"], {"small": SHAPES}, [], rounds=1)
    (group,) = suite.run(settings)
    assert not group.lines
    assert set(group.left_out.values()) == {"failed: RuntimeError: not the same"}


@pytest.mark.parametrize("suite", [tail, storage])
@pytest.mark.parametrize("processor", [False, True])
def test_the_processors_time_is_measured_where_it_is_asked_for(suite, processor, monkeypatch):
    clocks = []

    def clock(cold, processor):
        clocks.append(processor)
        return timing.HostClock()

    monkeypatch.setattr(measure, "HostClock", clock)
    settings = Settings([], ["bfloat16"], {"small": SHAPES}, [], rounds=1, processor=processor)
    assert all(group.lines for group in suite.run(settings))
    assert set(clocks) == {processor}


def test_a_contender_that_cannot_run_leaves_the_others_their_lines(monkeypatch):
    def absent(place, shapes):
        raise Unavailable("not here")

    monkeypatch.setattr(tail, "_torchs", absent)
    (group,) = tail.run(Settings([], ["float32"], {"small": SHAPES}, [], rounds=1))
    assert group.line(tail.OURS) and group.left_out == {tail.TORCHS: "not here"}


def test_deepspeed_is_named_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed.ops.adam", None)
    settings = Settings([], ["float32"], {"small": SHAPES}, ["torch fused", "DeepSpeed"], rounds=1)
    (group,) = storage.run(settings)
    assert group.line("torch fused") and group.left_out["DeepSpeed"].startswith("not installed (")


def test_deepspeeds_optimizer_steps_the_masters(monkeypatch):
    made = []

    class DeepSpeedCPUAdam(torch.optim.SGD):
        def __init__(self, params, lr, adamw_mode):
            super().__init__(params, lr)
            made.append((params, adamw_mode))

    fake = SimpleNamespace(DeepSpeedCPUAdam=DeepSpeedCPUAdam)
    monkeypatch.setitem(sys.modules, "deepspeed.ops.adam", fake)
    monkeypatch.setattr(storage, "_whole", lambda: SimpleNamespace(groups=lambda *_: ()))
    (group,) = storage.run(Settings([], ["bfloat16"], {"small": SHAPES}, ["DeepSpeed"], rounds=1))
    assert group.line("DeepSpeed").bytes == round(40 * group.line("DeepSpeed").elements)
    ((masters, decoupled),) = made
    assert decoupled and all(master.dtype == torch.float32 for master in masters)


def test_a_state_that_stands_still_is_told(monkeypatch, capsys):
    one = {"m": (1.0, 1.0)}
    stuck = [one, one], [one, {"m": (0.1, 0.1)}]
    assert state_dtype.differences(*stuck)["m"] > 8.9
    assert state_dtype.main(["--rules", "momentum", "--betas", "0.9", "--steps", "40"]) == 0
    assert "momentum_buffer" in capsys.readouterr().out
    monkeypatch.setattr(state_dtype, "differences", lambda found, expected: {"m": float("nan")})
    assert state_dtype.main(["--rules", "momentum", "--betas", "0.9", "--steps", "1"]) == 1
    assert "NO: bfloat16, float16" in capsys.readouterr().out


def test_betas_that_never_forget_are_refused():
    assert state_dtype.main(["--betas", "0.5", "1.0"]) == 2
