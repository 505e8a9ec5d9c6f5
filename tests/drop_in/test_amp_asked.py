"""Who unscales under torch.amp.GradScaler: the scaler, unless an option leaves that to the step."""

import copy
import pickle
from functools import partial

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, accepts  # noqa: E402
from tests.rules.oracles import training  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

ASKS = [{"clip_norm": 1.0}, {"skip_nonfinite": True}, {"zero_grads": True}]
ASKS_NOTHING = [
    {"clip_norm": None, "skip_nonfinite": False, "zero_grads": False},
    {"clip_value": 0.5, "ema_decay": 0.5, "master_weights": True, "stats": True},
]


class Run:
    """A weight whose gradient is its data, scaled by 8, and an optimizer under a scaler."""

    def __init__(self, make, **options):
        self.weight = torch.ones(3, requires_grad=True)
        self.optimizer = make([self.weight], **options)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def step(self, data):
        self.scaler.scale((self.weight * torch.tensor(data)).sum()).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.weight.grad.tolist()


def step_unscales(make, **options):
    return Run(make, **options).step([1.0, 2.0, 4.0]) != [1.0, 2.0, 4.0]


@pytest.mark.parametrize("name", CLASSES)
def test_the_scaler_does_unless_it_is_asked_for(name):
    make = partial(getattr(ours, name), **training(name))
    assert [step_unscales(make, **options) for options in ASKS] == [True] * 3
    assert [step_unscales(make, **options) for options in ({}, *ASKS_NOTHING)] == [False] * 3
    if accepts(name, "fused"):
        found = [step_unscales(make, fused=fused) for fused in (None, False, True)]
        assert found == [False, False, True]


@pytest.mark.parametrize("name", [name for name in OF_TORCH if accepts(name, "fused")])
@pytest.mark.parametrize("fused", [None, False, True])
def test_the_flag_is_torchs(name, fused):
    param = torch.ones(3, requires_grad=True)
    made = [getattr(module, name)([param], fused=fused) for module in (ours, torch.optim)]
    mine, theirs = (getattr(one, "_step_supports_amp_scaling", False) for one in made)
    assert mine is bool(fused)
    if (name, theirs) != ("Adagrad", False):  # torch 2.6 sets none for its own Adagrad
        assert theirs is mine


@pytest.mark.parametrize("module", [ours, torch.optim])
def test_a_group_alone_does_not_ask(module):
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    groups = [{"params": params[:1], "fused": True}, {"params": params[1:], "fused": False}]
    optimizer = module.Adam(groups)
    assert not getattr(optimizer, "_step_supports_amp_scaling", False)


@pytest.mark.parametrize("options", [*ASKS, {"fused": True}, {}], ids=str)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_leave_it_to_whom_the_first_does(options, copied):
    run = Run(ours.Adam, **options)
    run.step([1.0, 2.0, 4.0])
    run.optimizer = copied(run.optimizer)
    (run.weight,) = run.optimizer.param_groups[0]["params"]
    run.weight.grad = None
    assert (run.step([1.0, 2.0, 4.0]) != [1.0, 2.0, 4.0]) == bool(options)


def test_neither_numbers_nor_state_dicts_change_it():
    run = Run(ours.Adam, clip_norm=1.0)
    run.optimizer.change(clip_norm=2.0)
    run.optimizer.load_state_dict(Run(torch.optim.Adam).optimizer.state_dict())
    assert run.step([1.0, 2.0, 4.0]) == [8.0, 16.0, 32.0]
    run = Run(ours.Adam)
    run.optimizer.load_state_dict(Run(torch.optim.Adam, fused=True).optimizer.state_dict())
    assert run.step([1.0, 2.0, 4.0]) == [1.0, 2.0, 4.0]


def test_a_user_may_decide_otherwise():
    """The norm is then of gradients that the scaler unscaled: the same."""
    run = Run(ours.SGD, lr=1.0, clip_norm=1e9)
    run.optimizer._step_supports_amp_scaling = False
    assert run.step([3.0, 0.0, 4.0]) == [3.0, 0.0, 4.0]
    assert run.optimizer.grad_norm == 5.0
    assert run.weight.tolist() == [-2.0, 1.0, -3.0]


@pytest.mark.parametrize("options", [{"skip_nonfinite": True}, {"fused": True}, {}], ids=str)
def test_a_step_that_skips_by_itself_is_called(options):
    run, called = Run(ours.Adam, **options), []
    run.optimizer.register_step_post_hook(lambda *_: called.append(1))
    for _ in range(2):
        run.step([1.0, float("inf"), 1.0])
        assert run.weight.tolist() == [1, 1, 1]
        run.optimizer.zero_grad()
    assert len(called) == (2 if options else 0)
    assert run.scaler.get_scale() == 2.0
    run.step([1.0, 1.0, 1.0])
    assert run.optimizer.state[run.weight]["step"] == 1
    if "skip_nonfinite" in options:
        assert run.optimizer.skipped_steps == 2


def test_zeroed_gradients_are_zeroed_after_an_overflow_too():
    """Or the infinity would meet every later gradient."""
    run = Run(ours.SGD, lr=0.5, zero_grads=True)
    assert run.step([float("nan"), 1.0, 1.0]) == [0, 0, 0]
    assert run.step([1.0, 1.0, 1.0]) == [0, 0, 0]
    assert run.weight.tolist() == [0.5] * 3
    assert run.scaler.get_scale() == 4.0
