"""Accelerate itself, on the CPU: its optimizer and scheduler around ours, after an overflow too."""

import pytest

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")

from accelerate.state import AcceleratorState, GradientState  # noqa: E402

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import assert_close  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile", "one_thread")

STEPS, INFINITE = 6, (0, 3)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Accelerate keeps what an Accelerator was made with, for all that come later."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def new_layer():
    torch.manual_seed(0)
    return torch.nn.Linear(4, 2)


def data_of(k):
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(k))


class Run:
    """A layer, an optimizer and a scheduler, as Accelerate prepares them."""

    def __init__(self, make, scale=None, **options):
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        if scale:  # Accelerate makes a scaler for a GPU only; it uses whatever is here
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        layer = new_layer()
        self.inner = make(layer.parameters())
        scheduler = torch.optim.lr_scheduler.StepLR(self.inner, 1, 0.5)
        prepared = self.accelerator.prepare(layer, self.inner, scheduler)
        self.layer, self.optimizer, self.scheduler = prepared

    def step(self, k, largest=None):
        with self.accelerator.accumulate(self.layer):
            loss = self.layer(data_of(k)).float().square().mean()
            self.accelerator.backward(loss)
            if k in INFINITE and self.accelerator.scaler:
                self.layer.weight.grad[0, 0] = float("inf")
            if largest:
                self.accelerator.clip_grad_norm_(self.layer.parameters(), largest)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
        return self.optimizer.step_was_skipped, self.scheduler.get_last_lr()


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", ["Adam", "SGD", "Adadelta"])
def test_after_an_overflow_the_schedule_stands_still(name, clip):
    found = []
    for module in (ours, torch.optim):
        run = Run(lambda params, of=module: getattr(of, name)(params, lr=0.125), scale=64.0)
        found.append(([run.step(k, clip) for k in range(STEPS)], run))
    (mine, run), (theirs, expected) = found
    assert mine == theirs
    assert [skipped for skipped, _ in mine] == [k in INFINITE for k in range(STEPS)]
    assert mine[-1][1] == [0.125 * 0.5 ** (STEPS - len(INFINITE))]
    assert_close(run.layer.parameters(), expected.layer.parameters(), "ten trained steps")


def test_a_step_that_skips_by_itself_says_so():
    """Accelerate cannot see that such a step is skipped, no more than with torch's fused form."""
    mine = Run(lambda params: ours.Adam(params, lr=0.1, skip_nonfinite=True), scale=64.0)
    theirs = Run(lambda params: torch.optim.Adam(params, lr=0.1, fused=True), scale=64.0)
    for k in range(STEPS):
        assert mine.step(k) == theirs.step(k)
        passed = sum(k >= i for i in INFINITE)
        assert mine.optimizer.optimizer.skipped_steps == passed
        assert mine.optimizer.state_dict()["skipped_steps"] == passed
    assert_close(mine.layer.parameters(), theirs.layer.parameters(), "ten trained steps")


@pytest.mark.parametrize("asked", [{}, {"fused": True}], ids=str)
@pytest.mark.parametrize("infinite", [(), (2,)], ids=str)
def test_gradients_are_accumulated(asked, infinite, monkeypatch):
    monkeypatch.setattr(f"{__name__}.INFINITE", infinite)
    runs = []
    for make in (ours.AdamW, torch.optim.AdamW):
        run = Run(
            lambda params, make=make: make(params, lr=0.1, **asked),
            scale=64.0,
            gradient_accumulation_steps=2,
        )
        runs.append(([run.step(k, 0.5) for k in range(STEPS)], run))
    (mine, run), (theirs, expected) = runs
    assert mine == theirs
    assert_close(run.layer.parameters(), expected.layer.parameters(), "ten trained steps")


def test_a_run_goes_on_from_a_saved_state(tmp_path):
    def make(params):
        return ours.AdamW(params, lr=0.1, skip_nonfinite=True, ema_decay=0.5)

    whole, first, rest = (Run(make, scale=64.0) for _ in range(3))
    for k in range(STEPS):
        whole.step(k)
    for k in range(2):
        first.step(k)
    first.accelerator.save_state(tmp_path)
    rest.accelerator.load_state(tmp_path)
    for k in range(2, STEPS):
        rest.step(k)
    assert rest.inner.skipped_steps == whole.inner.skipped_steps == 2
    for p, q in zip(rest.layer.parameters(), whole.layer.parameters()):
        assert torch.equal(p, q)
        assert torch.equal(rest.inner.ema[p], whole.inner.ema[q])


def test_bfloat16_needs_no_scaler():
    """The bits are those of the same loop, written by hand."""
    run = Run(lambda params: ours.Adam(params, lr=0.1), mixed_precision="bf16")
    layer = new_layer()
    optimizer = ours.Adam(layer.parameters(), lr=0.1)
    for k in range(STEPS):
        assert run.step(k, 0.5) == (False, [0.1 * 0.5 ** (k + 1)])
        with torch.autocast("cpu", torch.bfloat16):
            loss = layer(data_of(k)).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
    for p, q in zip(run.layer.parameters(), layer.parameters(), strict=True):
        assert torch.equal(p, q)
