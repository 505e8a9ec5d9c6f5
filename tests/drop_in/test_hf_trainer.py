"""The Trainer of Hugging Face itself, on the CPU, over a random model of a few numbers."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at the import: nothing is to be looked up

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

from accelerate.state import AcceleratorState, GradientState  # noqa: E402

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import assert_close  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile", "one_thread")

STEPS = 6
SIZES = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 32}
NO_CHANCE = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Its Accelerator keeps what it was made with, for all that come later."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def trainer_of(folder, make, options, **arguments):
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, **NO_CHANCE))
    tokens = torch.randint(32, (4 * STEPS, 8), generator=torch.Generator().manual_seed(1))
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(
            **{"max_steps": STEPS, "save_strategy": "no", "max_grad_norm": 0.25, **arguments},
            output_dir=str(folder),
            use_cpu=True,
            per_device_train_batch_size=4,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
        optimizer_cls_and_kwargs=(make, {"lr": 0.01, **options}),
    )


def norms_of(trainer):
    return [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_a_run_that_clips_is_torchs(tmp_path, name, bf16):
    """In bfloat16 one step: the next would round what torch's order of operations left."""
    runs, steps = [], 1 if bf16 else STEPS
    for module in (ours, torch.optim):
        make = getattr(module, name)
        trainer = trainer_of(tmp_path, make, {}, bf16=bf16, logging_steps=1, max_steps=steps)
        trainer.train()
        assert type(trainer.optimizer.optimizer) is make
        runs.append(trainer)
    mine, theirs = runs
    assert norms_of(mine)[0] == norms_of(theirs)[0] > 0.25
    assert len(norms_of(mine)) == steps
    assert_close(mine.model.parameters(), theirs.model.parameters(), "ten trained steps")


def test_a_step_that_clips_by_itself_is_the_trainers_clipping(tmp_path):
    clipping = {"clip_norm": 0.25}
    own = trainer_of(tmp_path, ours.AdamW, clipping, max_grad_norm=0.0)
    asked = trainer_of(tmp_path, ours.AdamW, {})
    for trainer in (own, asked):
        trainer.train()
    assert own.optimizer.optimizer.grad_norm > 0.25
    assert_close(own.model.parameters(), asked.model.parameters(), "ten trained steps")


def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    options = {"skip_nonfinite": True, "ema_decay": 0.5}
    saved = {"save_strategy": "steps", "save_steps": STEPS // 2}
    whole, rest = (trainer_of(tmp_path, ours.AdamW, options, **saved) for _ in range(2))
    whole.train()
    rest.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{STEPS // 2}"))
    inner, expected = rest.optimizer.optimizer, whole.optimizer.optimizer
    assert {int(held["step"]) for held in inner.state.values()} == {STEPS}
    for p, q in zip(rest.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(inner.ema[p], expected.ema[q])


def test_a_step_that_is_not_finite_is_counted(tmp_path):
    trainer = trainer_of(tmp_path, ours.AdamW, {"skip_nonfinite": True})
    weight, seen = trainer.model.lm_head.weight, []
    weight.register_hook(lambda g: g * (float("nan") if len(seen) == 2 else 1.0))
    trainer.add_callback(Counts(seen))
    trainer.train()
    assert seen == [0, 0, 1, 1, 1, 1]
    assert all(bool(p.isfinite().all()) for p in trainer.model.parameters())


class Counts(transformers.TrainerCallback):
    """Looks at the optimizer after each step."""

    def __init__(self, seen):
        self.seen = seen

    def on_step_end(self, args, state, control, optimizer, **rest):
        self.seen.append(optimizer.optimizer.skipped_steps)
