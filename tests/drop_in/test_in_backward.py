"""`StepInBackward` in an optimizer's place: schedules, checkpoints, accumulation, frameworks."""

import copy
import itertools
import os
import pickle
import sys
from types import SimpleNamespace

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at the import: nothing is to be looked up

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from gpuopt.torch import StepInBackward  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile", "one_thread")

STEPS = 4


def layers():
    torch.manual_seed(0)
    return torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))


def loss_of(model, step):
    data = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
    return model(data).square().mean()


def pair(make=ours.AdamW, *, split=False, **options):
    """The same model twice: stepped inside the backward pass, and after it."""
    found = []
    for inside in (True, False):
        model = layers()
        params = list(model.parameters())
        if split:
            params = [{"params": params[::2], "lr": 0.5}, {"params": params[1::2]}]
        one = StepInBackward(params, make, **options) if inside else make(params, **options)
        found.append((model, one))
    return found


def assert_equal(first, second):
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)


def gradients(model):
    return [p.grad for p in model.parameters() if p.grad is not None]


# --- in place of an optimizer -----------------------------------------------------------------


@pytest.mark.parametrize("make", [ours.AdamW, ours.SGD, torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("split", [False, True], ids=["one group", "two groups"])
def test_a_loop_that_calls_all_that_loops_call(make, split):
    (inside, one), (outside, two) = pair(make, split=split, lr=0.1)
    assert isinstance(one, torch.optim.Optimizer)
    schedules = [torch.optim.lr_scheduler.OneCycleLR(o, 0.5, STEPS + 1) for o in (one, two)]
    for step in range(STEPS):
        for model, optimizer in ((inside, one), (outside, two)):
            optimizer.zero_grad()
            loss_of(model, step).backward()
            optimizer.step()
        assert gradients(inside) == []
        for schedule in schedules:
            schedule.step()
        assert schedules[0].get_last_lr() == schedules[1].get_last_lr()
    assert len(one.param_groups) == 1 + split
    assert_equal(inside, outside)


def test_a_schedule_needs_no_call_of_step():
    """It would warn that a step must come first."""
    model = layers()
    one = StepInBackward(model.parameters(), ours.SGD, lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(one, 1, 0.5)
    loss_of(model, 0).backward()
    schedule.step()
    assert one.param_groups[0]["lr"] == 0.25


def test_options_of_groups_hold_for_their_parameters():
    (inside, one), (outside, two) = pair(split=True, lr=0.1)
    for step in range(STEPS):
        for model, optimizer in ((inside, one), (outside, two)):
            optimizer.param_groups[0]["weight_decay"] = 0.1 * step
            optimizer.param_groups[1]["betas"] = (0.5, 0.75)
            loss_of(model, step).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert_equal(inside, outside)


def test_a_closure():
    (inside, one), (outside, two) = pair(lr=0.1)
    for step in range(STEPS):
        losses = []
        for model, optimizer in ((inside, one), (outside, two)):

            def closure(model=model, optimizer=optimizer, step=step):
                optimizer.zero_grad()
                loss = loss_of(model, step)
                loss.backward()
                return loss

            losses.append(optimizer.step(closure))
        assert torch.equal(*losses)
    assert_equal(inside, outside)
    assert gradients(inside) == []


def test_it_clips_values():
    (inside, one), (outside, two) = pair(ours.SGD, lr=0.5, clip_value=1e-3)
    for model, optimizer in ((inside, one), (outside, two)):
        loss_of(model, 0).backward()
        optimizer.step()
    assert_equal(inside, outside)
    moved = [
        float((p - q).detach().abs().max())
        for p, q in zip(inside.parameters(), layers().parameters())
    ]
    assert all(0 < largest < 0.0006 for largest in moved)


def test_once_removed_it_steps_as_any_other():
    (inside, one), (outside, two) = pair(lr=0.1)
    one.remove()
    for step in range(STEPS):
        for model, optimizer in ((inside, one), (outside, two)):
            loss_of(model, step).backward()
            assert len(gradients(model)) == 6
            optimizer.step()
            assert len(gradients(model)) == 6
            optimizer.zero_grad()
    assert_equal(inside, outside)


def test_a_group_that_is_added_is_hooked():
    (inside, one), (outside, two) = pair(lr=0.1)
    more = [torch.ones(3, requires_grad=True) for _ in range(2)]
    for param, optimizer in zip(more, (one, two)):
        optimizer.add_param_group({"params": [param], "lr": 0.25})
    for model, optimizer, param in ((inside, one, more[0]), (outside, two, more[1])):
        (loss_of(model, 0) + param.square().sum()).backward()
        optimizer.step()
    assert more[0].grad is None
    assert torch.equal(*more)
    with pytest.raises(ValueError, match="lr"):
        one.add_param_group({"params": [torch.ones(3, requires_grad=True)], "lr": -1.0})
    assert len(one.param_groups) == 2
    with pytest.raises(RuntimeError, match="only the original"):
        copy.deepcopy(one).add_param_group({"params": [torch.ones(2, requires_grad=True)]})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_have_groups_and_schedules_of_their_own(copied):
    model = layers()
    one = StepInBackward(model.parameters(), ours.AdamW, lr=0.5, accumulation_steps=2)
    loss_of(model, 0).backward()
    other_model, other = copied((model, one))
    other.param_groups[0]["lr"] = 0.0
    for each in (model, other_model):
        loss_of(each, 1).backward()
    assert one.param_groups[0]["lr"] == 0.5
    assert not torch.equal(model[0].weight, other_model[0].weight)
    assert gradients(other_model) == []


def test_parameters_that_were_replaced_are_noticed():
    model = layers()
    one = StepInBackward(model.parameters(), ours.AdamW)
    one.param_groups[0]["params"][0] = torch.nn.Parameter(torch.ones(4, 4))
    with pytest.raises(RuntimeError, match="param_groups: the parameters are others than"):
        one.step()


def test_it_tells_what_runs():
    params = [(f"w{i}", torch.ones(size, requires_grad=True)) for i, size in enumerate((3, 4, 5))]
    one = StepInBackward(params, ours.AdamW)
    assert one.backend == "numpy"
    assert one.explain().launched == ()
    sum(p.sum() for _, p in params).backward()
    (found,) = one.explain().launched
    assert one.explain().chosen == {"cpu": "numpy"}
    assert (found.arrays, found.elements, found.launches) == (("w0", "w1", "w2"), 12, 3)
    assert found.bytes_per_element == 28.0
    unnamed = StepInBackward([torch.ones(2, requires_grad=True)], ours.SGD)
    unnamed.param_groups[0]["params"][0].sum().backward()
    assert unnamed.explain().launched[0].arrays == ("params[0]",)
    theirs = StepInBackward([torch.ones(2, requires_grad=True)], torch.optim.SGD)
    with pytest.raises(TypeError, match="SGD: of torch"):
        theirs.explain()


# --- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ours.AdamW, torch.optim.AdamW])
def test_checkpoints_go_to_the_optimizer_itself_and_back(make):
    (inside, one), (outside, two) = pair(make, split=True, lr=0.1)
    for step in range(STEPS):
        for model, optimizer in ((inside, one), (outside, two)):
            optimizer.param_groups[1]["lr"] = 0.1 + 0.05 * step
            loss_of(model, step).backward()
            optimizer.step()
            optimizer.zero_grad()
        saved = [copy.deepcopy(optimizer.state_dict()) for optimizer in (one, two)]
        assert saved[0].keys() == saved[1].keys()
        assert saved[0]["param_groups"] == saved[1]["param_groups"]
        one.load_state_dict(saved[1])
        two.load_state_dict(saved[0])
    assert_equal(inside, outside)
    assert one.param_groups[1]["lr"] == 0.1 + 0.05 * (STEPS - 1)


def test_a_new_one_goes_on_from_a_file(tmp_path):
    (whole, one), _ = pair(lr=0.1, state_dtype="8bit", min_8bit_size=1)
    (rest, two), _ = pair(lr=0.2, state_dtype="8bit", min_8bit_size=1)
    loss_of(whole, 0).backward()
    torch.save((whole.state_dict(), one.state_dict(decoded=False)), tmp_path / "saved.pt")
    model, state = torch.load(tmp_path / "saved.pt")
    assert state["coded_state"][5]["exp_avg"].dtype is torch.int8
    rest.load_state_dict(model)
    two.load_state_dict(state)
    for each in (whole, rest):
        loss_of(each, 1).backward()
    assert_equal(whole, rest)


def test_a_run_of_another_lr_is_loaded():
    (_, one), (_, two) = pair(lr=0.1)
    two.param_groups[0].update(lr=0.75, betas=(0.5, 0.5))
    one.load_state_dict(two.state_dict())
    assert one.param_groups[0]["lr"] == 0.75
    assert one.state_dict() == two.state_dict()


def test_the_hooks_around_loading_are_called():
    (_, one), _ = pair(lr=0.1)
    saved = one.state_dict()
    called = []

    def before(optimizer, state_dict):
        called.append("before")
        groups = [{**group, "lr": 0.75} for group in state_dict["param_groups"]]
        return {**state_dict, "param_groups": groups}

    one.register_load_state_dict_pre_hook(before)
    one.register_load_state_dict_post_hook(lambda optimizer: called.append("after"))
    one.load_state_dict(saved)
    assert called == ["before", "after"]
    assert one.param_groups[0]["lr"] == 0.75


@pytest.mark.parametrize("make", [ours.SGDScheduleFree, ours.AdamWScheduleFree])
@pytest.mark.parametrize("split", [False, True], ids=["one group", "two groups"])
def test_train_and_eval_are_those_of_one_optimizer(make, split):
    (first, inside), (second, _) = both = pair(make, split=split)
    with pytest.raises(RuntimeError, match="not in train mode"):
        loss_of(first, 0).backward()
    for step in range(STEPS):
        for model, one in both:
            model.zero_grad()
            one.train()
            loss_of(model, step).backward()
            one.step()
            one.eval()
            one.eval()
        assert_equal(first, second)
        assert [group["train_mode"] for group in inside.param_groups] == [False] * (1 + split)


def test_a_mode_is_saved_and_loaded():
    (first, inside), (second, after) = pair(ours.AdamWScheduleFree)
    for model, one in ((first, inside), (second, after)):
        one.train()
        loss_of(model, 0).backward()
        one.step()
        model.zero_grad()
    other = StepInBackward(first.parameters(), ours.AdamWScheduleFree)
    inside.remove()
    other.load_state_dict(inside.state_dict())
    assert other.param_groups[0]["train_mode"] is True
    for one in (other, after):
        one.eval()
    assert_equal(first, second)


def test_the_hessian_is_updated_by_gradients_that_are_kept():
    (first, inside), (second, after) = pair(ours.SophiaG, lr=0.1)
    for step in range(STEPS):
        inside.accumulating = True
        for model, one in ((first, inside), (second, after)):
            loss_of(model, 10 + step).backward()
            one.update_hessian()
            model.zero_grad()
        inside.accumulating = None
        loss_of(first, step).backward()
        loss_of(second, step).backward()
        after.step()
        after.zero_grad()
        assert_equal(first, second)
    assert inside.state[next(first.parameters())]["hessian"].any()


def test_it_has_the_methods_of_its_optimizer_alone():
    (_, inside), _ = pair()
    assert not any(hasattr(inside, n) for n in ("train", "eval", "update_hessian", "d"))
    (_, plain), _ = pair(torch.optim.SGD, lr=0.1)
    assert not hasattr(plain, "eval")


def test_its_state_is_that_of_all_parameters():
    (inside, one), (outside, two) = pair(lr=0.1)
    for model, optimizer in ((inside, one), (outside, two)):
        loss_of(model, 0).backward()
        optimizer.step()
    for p, q in zip(inside.parameters(), outside.parameters()):
        assert torch.equal(one.state[p]["exp_avg"], two.state[q]["exp_avg"])
    one.state = {p: {**held, "step": held["step"] + 5} for p, held in one.state.items()}
    assert {int(held["step"]) for held in one.state.values()} == {6}


# --- accumulation -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["count", "asked", "step", "accelerate"])
def test_exact_accumulation_is_that_of_a_loop(how, monkeypatch):
    count = {"accumulation_steps": 2} if how in ("count", "step") else {}
    inside, outside = layers(), layers()
    one = StepInBackward(inside.parameters(), ours.AdamW, lr=0.1, **count)
    two = ours.AdamW(outside.parameters(), lr=0.1)
    for step in range(STEPS):
        for k in range(2):
            if how == "asked":
                one.accumulating = k == 0
            if how == "accelerate":
                accelerate_says(monkeypatch, k == 1)
            for model in (inside, outside):
                (loss_of(model, 2 * step + k) / 2).backward()
            assert len(gradients(inside)) == 6 * (k == 0)
        if how == "step":
            one.step()
        two.step()
        two.zero_grad()
        assert_equal(inside, outside)


def accelerate_says(monkeypatch, last):
    state = SimpleNamespace(_shared_state={"sync_gradients": last})
    module = SimpleNamespace(GradientState=state)
    monkeypatch.setitem(sys.modules, "accelerate.state", module)


@pytest.mark.parametrize(
    ("make", "options"),
    [(ours.AdamW, {}), (ours.SGD, {"momentum": 0.9}), (ours.Lion, {}), (ours.NAdam, {})],
)
def test_moments_take_each_gradient_and_keep_none(make, options):
    """The states are those of as many steps with parameters that are put back."""
    inside, outside = layers(), layers()
    one = StepInBackward(
        inside.parameters(), make, lr=0.1, accumulation="moments", accumulation_steps=3, **options
    )
    two = make(outside.parameters(), lr=0.1, **options)
    for step in range(STEPS):
        for k in range(3):
            before = [p.detach().clone() for p in outside.parameters()]
            for model in (inside, outside):
                loss_of(model, 3 * step + k).backward()
            assert gradients(inside) == []
            two.step()
            two.zero_grad()
            if k < 2:
                with torch.no_grad():
                    for p, q in zip(outside.parameters(), before):
                        p.copy_(q)
            assert_equal(inside, outside)
    for p, q in zip(inside.parameters(), outside.parameters()):
        for name, held in one.state[p].items():
            assert torch.equal(torch.as_tensor(held), torch.as_tensor(two.state[q][name])), name


def test_moments_of_equal_gradients_are_those_of_one():
    """As bias corrections count every gradient: Adam's first step has the size lr either way."""
    w = torch.zeros(3, requires_grad=True)
    options = {"accumulation": "moments", "accumulation_steps": 4}
    StepInBackward([w], ours.Adam, lr=0.5, eps=0.0, **options)
    for _ in range(4):
        assert w.tolist() == [0.0] * 3
        w.sum().backward()
    torch.testing.assert_close(w.detach(), torch.full((3,), -0.5))


def test_a_batch_that_ends_early_is_used_by_step():
    (inside, one), (outside, two) = pair(lr=0.1)
    one._accumulation._steps = 3
    for count in (3, 2, 3):
        for k in range(count):
            for model in (inside, outside):
                loss_of(model, k).backward()
        for optimizer in (one, two):
            optimizer.step()
            optimizer.zero_grad()
        assert_equal(inside, outside)


def test_a_parameter_without_some_gradients_stays_in_phase():
    used, rare = (torch.zeros(2, requires_grad=True) for _ in range(2))
    one = StepInBackward([used, rare], ours.SGD, lr=0.5, accumulation_steps=2)
    for has_both, expected in ((False, -0.5), (True, -1.5), (False, -2.0)):
        before = rare.tolist()
        (used.sum() + rare.sum()).backward()
        assert rare.tolist() == before
        (used.sum() + (rare.sum() if has_both else 0)).backward()
        one.step()
        assert rare.tolist() == [expected] * 2
        assert rare.grad is None
    assert used.tolist() == [-3.0] * 2


def test_while_it_is_asked_to_accumulate_step_does_not_use_gradients():
    model = layers()
    one = StepInBackward(model.parameters(), ours.SGD, lr=0.5)
    one.accumulating = True
    loss_of(model, 0).backward()
    one.step()
    assert len(gradients(model)) == 6
    assert_equal(model, layers())
    one.accumulating = None
    one.step()
    assert gradients(model) == []


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (ours.SGD, {"accumulation": "sum"}, "accumulation: expected 'exact' or 'moments', got 's"),
        (ours.SGD, {"accumulation_steps": 0}, "accumulation_steps: expected an integer of at"),
        (ours.SGD, {"accumulation_steps": True}, "accumulation_steps: expected an integer of at"),
        (ours.SGD, {"accumulation_steps": 2.0}, "accumulation_steps: expected an integer of at"),
        (ours.SGD, {"accumulation": "moments"}, "'moments' of SGD: it has no state"),
        (torch.optim.Adam, {"accumulation": "moments"}, "expected a class of gpuopt"),
        (ours.Adam, {"accumulation": "moments", "ema_decay": 0.5}, "Adam: ema_decay follows"),
        (ours.Adam, {"accumulation": "moments", "master_weights": True}, "master_weights follows"),
        (ours.Adam, {"accumulation": "moments", "kahan_sum": True}, "kahan_sum follows"),
        (ours.Adadelta, {"accumulation": "moments"}, "acc_delta is not an average"),
        (ours.ASGD, {"accumulation": "moments"}, "ax is not an average"),
        (ours.Rprop, {"accumulation": "moments"}, "is not an average"),
        (ours.AdamWScheduleFree, {"accumulation": "moments"}, "z is not an average"),
    ],
)
def test_accumulation_that_is_refused(make, options, message):
    w = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=message):
        StepInBackward([w], make, lr=0.1, **options)
    assert w._post_accumulate_grad_hooks is None


def test_what_accumulating_may_be():
    (_, one), _ = pair()
    with pytest.raises(TypeError, match="accumulating: expected True, False or None, got 3"):
        one.accumulating = 3


# --- what is refused --------------------------------------------------------------------------


def test_a_scaler_is_refused():
    model = layers()
    one = StepInBackward(model.parameters(), ours.AdamW)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(loss_of(model, 0)).backward()
    with pytest.raises(RuntimeError, match="GradScaler: the gradients that it would unscale"):
        scaler.step(one)
    off = torch.amp.GradScaler("cpu", enabled=False)
    off.step(one)


def test_parameters_of_fsdp1_are_refused():
    w = torch.ones(3, requires_grad=True)
    w._fsdp_flattened = True
    with pytest.raises(RuntimeError, match="use FSDP2"):
        StepInBackward([w], ours.AdamW)


@pytest.fixture
def one_process(tmp_path):
    """A process group of this process alone."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("first", ["model", "optimizer"])
def test_a_replicated_model_is_refused(one_process, first):
    model = layers()
    if first == "model":
        replicated = torch.nn.parallel.DistributedDataParallel(model)
        with pytest.raises(RuntimeError, match=r"DistributedDataParallel .* use FSDP2"):
            StepInBackward(replicated.parameters(), ours.AdamW)
        assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
        return
    StepInBackward(model.parameters(), ours.AdamW)
    replicated = torch.nn.parallel.DistributedDataParallel(model)
    with pytest.raises(RuntimeError, match=r"DistributedDataParallel .* use FSDP2"):
        loss_of(replicated, 0).backward()
    assert_equal(model, layers())


def test_beside_a_replicated_model_it_works(one_process):
    torch.nn.parallel.DistributedDataParallel(layers())
    model = layers()
    StepInBackward(model.parameters(), ours.SGD, lr=0.5)
    loss_of(model, 0).backward()
    assert gradients(model) == []


# --- frameworks -------------------------------------------------------------------------------


@pytest.fixture
def nothing_left_behind():
    """Accelerate keeps what an Accelerator was made with, for all that come later."""
    state = pytest.importorskip("accelerate").state
    yield
    state.AcceleratorState._reset_state(reset_partial_state=True)
    state.GradientState._reset_state()


SIZES = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 32}
NO_CHANCE = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def of_hugging_face(folder, make, options, **arguments):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, **NO_CHANCE))
    tokens = torch.randint(32, (20, 8), generator=torch.Generator().manual_seed(1))
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            output_dir=str(folder),
            use_cpu=True,
            per_device_train_batch_size=2,
            max_grad_norm=0.0,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **{"max_steps": 6, "save_strategy": "no", **arguments},
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
        optimizer_cls_and_kwargs=(make, {"lr": 0.01, **options}),
    )
    return trainer


@pytest.mark.parametrize("batches", [1, 3])
def test_in_the_trainer_of_hugging_face(tmp_path, nothing_left_behind, batches):
    """10 batches of data: the last step of an epoch has fewer than 3."""
    inside, outside = (
        of_hugging_face(tmp_path, make, options, gradient_accumulation_steps=batches)
        for make, options in ((StepInBackward, {"optimizer": ours.AdamW}), (ours.AdamW, {}))
    )
    inside.train()
    outside.train()
    one = ours.of(inside)
    assert type(one) is StepInBackward
    assert gradients(inside.model) == []
    assert {int(held["step"]) for held in one.state.values()} == {6}
    assert one.param_groups[0]["lr"] == outside.optimizer.param_groups[0]["lr"] == 0.0
    assert_equal(inside.model, outside.model)


def test_a_run_of_the_trainer_goes_on(tmp_path, nothing_left_behind):
    saved = {"save_strategy": "steps", "save_steps": 3}
    options = {"optimizer": ours.AdamW}
    whole, rest = (of_hugging_face(tmp_path, StepInBackward, options, **saved) for _ in range(2))
    whole.train()
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert_equal(whole.model, rest.model)


def with_accelerate(inside, batches):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=batches)
    model = layers()
    make = StepInBackward if inside else lambda params, optimizer, lr: optimizer(params, lr=lr)
    optimizer = make(model.parameters(), ours.AdamW, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    for step in range(6):
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model, step))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return model, schedule.get_last_lr()


@pytest.mark.parametrize("batches", [1, 2])
def test_with_accelerate(nothing_left_behind, batches):
    (inside, lr), (outside, expected) = (with_accelerate(each, batches) for each in (True, False))
    assert_equal(inside, outside)
    assert lr == expected == [0.1 * 0.5 ** (6 // batches)]


def with_lightning(make, batches=1, precision="32-true", **options):
    pl = pytest.importorskip("pytorch_lightning")

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = layers()

        def training_step(self, batch, i):
            return self.layers(batch[0]).float().square().mean()

        def configure_optimizers(self):
            optimizer = make(self.parameters())
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=batches,
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    data = torch.randn(15, 4, generator=torch.Generator().manual_seed(1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=3)
    model = Model()
    trainer.fit(model, loader)
    return model, trainer


in_lightning = pytest.mark.filterwarnings(
    # Lightning 2.6 asks torch 2.13 in a way that is deprecated there.
    "ignore:.isinstance.treespec, LeafSpec:FutureWarning"
)


@in_lightning
@pytest.mark.parametrize(
    ("batches", "precision"), [(1, "32-true"), (2, "32-true"), (1, "bf16-mixed")]
)
def test_in_lightning(batches, precision):
    """5 batches of data: the last step of an epoch has fewer than 2."""

    def inside(params):
        return StepInBackward(params, ours.AdamW, lr=0.1, accumulation_steps=batches)

    mine, trainer = with_lightning(inside, batches, precision)
    theirs, _ = with_lightning(lambda params: ours.AdamW(params, lr=0.1), batches, precision)
    assert_equal(mine, theirs)
    assert gradients(mine) == []
    assert type(ours.of(trainer)) is StepInBackward
    assert ours.of(trainer).param_groups[0]["lr"] == 0.025


@in_lightning
def test_lightning_that_accumulates_unasked_is_noticed():
    with pytest.raises(RuntimeError, match="accumulation_steps: parameters were updated both"):
        with_lightning(lambda params: StepInBackward(params, ours.AdamW), 2)


@in_lightning
def test_lightnings_scaled_losses_and_clipping_are_refused():
    def make(params):
        return StepInBackward(params, ours.AdamW)

    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        with_lightning(make, precision="bf16-mixed", gradient_clip_val=1.0)


def test_many_backward_passes_leave_no_copies():
    """Neither hooks nor counts pile up."""
    model = layers()
    one = StepInBackward(model.parameters(), ours.SGD, lr=0.0)
    for step, _ in itertools.product(range(3), range(3)):
        loss_of(model, step).backward()
        one.step()
    assert all(len(p._post_accumulate_grad_hooks) == 1 for p in model.parameters())
    assert len(one._accumulation.counts) <= 6
