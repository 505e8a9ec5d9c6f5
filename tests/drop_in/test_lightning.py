"""Lightning itself, on the CPU: its Trainer, its mixed precision, its clipping, its checkpoints."""

import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")
pl = pytest.importorskip("pytorch_lightning")

from pytorch_lightning.plugins.precision import MixedPrecision  # noqa: E402

import gpuopt.torch as ours  # noqa: E402
from tests import tolerances  # noqa: E402
from tests.drop_in.pairs import assert_close  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("nothing_to_compile", "one_thread"),
    # Lightning 2.6 asks torch 2.13 in a way that is deprecated there.
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
]

BATCHES, LARGEST = 8, 1.0
SCALE, TOO_LARGE = 2.0**8, 2.0**13
"""Scales of the loss; at the second one float16 overflows, some steps long."""

ASKS = [{"fused": True}, {"clip_norm": LARGEST}, {"skip_nonfinite": True}, {"zero_grads": True}]


class Model(pl.LightningModule):
    """Two layers; keeps the norms of the gradients before and after Lightning clips them."""

    def __init__(self, make):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )
        self.make, self.norms = make, []

    def norm(self):
        return float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters()]))

    def training_step(self, batch, i):
        return 100 * self.layers(batch[0]).float().square().mean()

    def configure_optimizers(self):
        optimizer = self.make(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    def configure_gradient_clipping(self, optimizer, **limits):
        before = self.norm()
        self.clip_gradients(optimizer, **limits)
        self.norms.append((before, self.norm()))


def trainer_of(precision="16-mixed", scale=SCALE, clip=None, epochs=1, steps=-1):
    halves = precision == "16-mixed"  # which Lightning offers to a CPU by the plugin alone
    scaler = torch.amp.GradScaler("cpu", init_scale=scale) if halves else None
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        max_steps=steps,
        gradient_clip_val=clip,
        plugins=[MixedPrecision(precision, "cpu", scaler)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def batches():
    data = torch.randn(4 * BATCHES, 4, generator=torch.Generator().manual_seed(1))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=4)


def fit(trainer, model, checkpoint=None):
    trainer.fit(model, batches(), ckpt_path=checkpoint)
    (optimizer,) = trainer.optimizers
    return model, optimizer


def by_hand(model, precision="16-mixed", scale=SCALE, clip=None):
    """The epoch that a Trainer runs, as torch's documentation writes it."""
    ((optimizer,), _), halves = model.configure_optimizers(), precision == "16-mixed"
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=halves)
    for batch in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16 if halves else torch.bfloat16):
            loss = model.training_step(batch, 0)
        scaler.scale(loss).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
    return model, optimizer, scaler.get_scale()


def assert_equal(mine, theirs):
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)


def overflows(scale):
    """How often the scale was halved."""
    count = math.log2(TOO_LARGE / scale)
    assert 0 < count < BATCHES
    return count


def steps_of(optimizer):
    return {int(held["step"]) for held in optimizer.state.values()}


def test_gradients_are_clipped():
    param = torch.ones(4, requires_grad=True)
    param.grad = torch.full((4,), 10.0)
    MixedPrecision("bf16-mixed", "cpu").clip_gradients(ours.Adam([param]), 1.0)
    tolerances.assert_close(param.grad, [0.5] * 4, "few roundings in float32")


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop"])
def test_a_run_that_clips_is_the_loop_by_hand(precision, name):
    def make(params):
        return getattr(ours, name)(params, lr=0.05)

    mine, _ = fit(trainer_of(precision, clip=LARGEST), Model(make))
    assert_equal(mine, by_hand(Model(make), precision, clip=LARGEST)[0])
    assert len(mine.norms) == BATCHES
    assert all(before > 2 * LARGEST for before, _ in mine.norms)
    after = [after for _, after in mine.norms]
    tolerances.assert_close(after, [LARGEST] * BATCHES, "few roundings in float32")


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop"])
def test_a_step_that_clips_is_torchs(precision, name):
    """One: the next would round to 16 bits what torch's order of operations left."""
    mine, theirs = (
        fit(trainer_of(precision, clip=LARGEST, steps=1), Model(partial(make, lr=0.05)))[0]
        for make in (getattr(ours, name), getattr(torch.optim, name))
    )
    assert mine.norms == theirs.norms
    assert_close(mine.parameters(), theirs.parameters(), "formula float32")


@pytest.mark.parametrize("asked", [{}, {"fused": True}, {"skip_nonfinite": True}], ids=str)
def test_overflows_are_skipped(asked):
    def make(params):
        return ours.Adam(params, lr=0.05, **asked)

    trainer = trainer_of(scale=TOO_LARGE)
    mine, optimizer = fit(trainer, Model(make))
    theirs, expected, scale = by_hand(Model(make), scale=TOO_LARGE)
    assert trainer.precision_plugin.scaler.get_scale() == scale
    assert_equal(mine, theirs)
    assert steps_of(optimizer) == steps_of(expected) == {BATCHES - overflows(scale)}
    if "skip_nonfinite" in asked:
        assert optimizer.skipped_steps == expected.skipped_steps == overflows(scale)


@pytest.mark.parametrize("asked", ASKS, ids=str)
def test_a_step_that_unscales_by_itself_cannot_be_clipped_for(asked):
    trainer = trainer_of(clip=LARGEST)
    with pytest.raises(RuntimeError, match="Adam, does not allow for gradient clipping"):
        fit(trainer, Model(partial(ours.Adam, **asked)))


def test_a_step_that_clips_by_itself_is_lightnings_clipping():
    own, asked = trainer_of(steps=1), trainer_of(steps=1, clip=LARGEST)
    mine, _ = fit(own, Model(partial(ours.Adam, lr=0.05, clip_norm=LARGEST)))
    theirs, _ = fit(asked, Model(partial(ours.Adam, lr=0.05)))
    assert mine.norms == [(SCALE * theirs.norms[0][0],) * 2]  # it is the step that unscales
    assert_close(mine.parameters(), theirs.parameters(), "formula float32")


def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    make = partial(ours.AdamW, lr=0.05, skip_nonfinite=True, ema_decay=0.9)
    whole, expected = fit(trainer_of(epochs=2, scale=TOO_LARGE), Model(make))
    first = trainer_of(scale=TOO_LARGE)
    fit(first, Model(make))
    first.save_checkpoint(tmp_path / "first.ckpt")
    rest, optimizer = fit(trainer_of(epochs=2), Model(make), tmp_path / "first.ckpt")
    skipped = overflows(first.precision_plugin.scaler.get_scale())
    assert optimizer.skipped_steps == expected.skipped_steps == skipped
    assert steps_of(optimizer) == steps_of(expected) == {2 * BATCHES - skipped}
    assert_equal(rest, whole)
    for p, q in zip(rest.parameters(), whole.parameters()):
        assert torch.equal(optimizer.ema[p], expected.ema[q])


class Manual(Model):
    """Steps with what Lightning has in the optimizer's place."""

    automatic_optimization = False

    def training_step(self, batch, i):
        optimizer = self.optimizers()
        assert type(optimizer).__name__ == "LightningAdam"
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, i))
        if i == 2:
            self.layers[0].bias.grad[0] = float("inf")
        self.watch(optimizer)
        optimizer.step()
        self.taken.append(optimizer)


def test_lightnings_optimizer_is_asked_what_ours_knows():
    model = Manual(partial(ours.Adam, lr=0.05, skip_nonfinite=True, stats=True))
    model.taken, seen = [], []
    model.watch = lambda optimizer: seen.append(optimizer.skipped_steps)
    _, optimizer = fit(trainer_of(), model)
    assert seen == [0, 0, 0] + [1] * (BATCHES - 3)
    last = model.taken[-1]
    assert last.skipped_steps == optimizer.skipped_steps == 1
    assert last.grad_norm == optimizer.grad_norm > 0
    assert last.stats() == optimizer.stats()


def test_lightning_clips_for_its_own_optimizer():
    model = Manual(partial(ours.Adam, lr=0.05))
    model.taken, norms = [], []

    def watch(optimizer):
        model.clip_gradients(optimizer, LARGEST, "norm")
        norms.append(model.norm())

    model.watch = watch
    fit(trainer_of("bf16-mixed"), model)
    tolerances.assert_close(norms[:2], [LARGEST] * 2, "few roundings in float32")
