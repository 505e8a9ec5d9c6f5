"""What frameworks put in an optimizer's place, and classes that users derive."""

import copy
import dataclasses
import inspect
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from gpuopt import Tail  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH, give_gradients, parameters  # noqa: E402
from tests.rules.oracles import training  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")


class OldFabrics:
    """As Fabric 2.0 has it, which takes no torch as new as this: with the optimizer's ``__dict__``.

    It becomes an instance of a subclass of the optimizer's class, as all the others do.
    """

    def __init__(self, optimizer):
        self.__dict__.update(optimizer.__dict__)
        self.__class__ = type("Fabric", (type(self), type(optimizer)), {})
        self._optimizer = optimizer

    def step(self, closure=None):
        return self._optimizer.step(closure)


def fabrics(optimizer):
    fabric = pytest.importorskip("lightning_fabric")
    return fabric.Fabric(accelerator="cpu", devices=1).setup_optimizers(optimizer)


def lightnings(optimizer):
    """Return what a LightningModule gets from ``self.optimizers()``."""
    pl = pytest.importorskip("pytorch_lightning")
    from pytorch_lightning.core.optimizer import LightningOptimizer

    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    module = pl.LightningModule()
    module.automatic_optimization, module.trainer = False, trainer
    trainer.strategy.connect(module)
    made = LightningOptimizer._to_lightning_optimizer(optimizer, trainer.strategy)
    made.trainer = trainer  # which nobody else keeps alive
    return made


@pytest.fixture(params=[OldFabrics, fabrics, lightnings], ids=["old", "fabric", "lightning"])
def kind(request):
    return request.param


@pytest.mark.parametrize("name", CLASSES)
def test_it_shows_the_states_of_the_optimizer(name, kind):
    params = parameters(torch.float32)
    optimizer = getattr(ours, name)(params, ema_decay=0.5, **training(name))
    other = kind(optimizer)
    for step in range(3):
        give_gradients(params, step)
        other.step()
        held = dict(other.state[params[0]])  # before anybody asks the optimizer
        assert "ema" in held
        assert held.get("step", torch.tensor(step + 1.0)).item() == step + 1
        assert other.state[params[0]] is optimizer.state[params[0]]
    held["ema"].fill_(7.0)  # which the optimizer takes notice of
    other.step()
    expected = 0.5 * 7 + 0.5 * params[0].detach()
    torch.testing.assert_close(optimizer.state[params[0]]["ema"], expected)


def test_it_knows_of_the_steps_what_the_optimizer_knows(kind):
    params = parameters(torch.float32)
    around = {"clip_norm": 1.0, "skip_nonfinite": True, "stats": True, "ema_decay": 0.5}
    optimizer = ours.Adam(params, **around)
    other = kind(optimizer)
    for step in range(3):
        give_gradients(params, step)
        if step == 1:
            params[1].grad[0] = float("nan")
        other.step()
    assert other.skipped_steps == optimizer.skipped_steps == 1
    assert other.grad_norm == optimizer.grad_norm > 0
    assert other.stats() == optimizer.stats()
    assert all(other.ema[p] is optimizer.ema[p] for p in params)
    other.change(clip_norm=0.25)
    assert optimizer.tail.clip_norm == 0.25
    with other.ema_weights(), pytest.raises(RuntimeError, match="step: not inside ema_weights"):
        optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    assert again.tail == optimizer.tail
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other.step()
    assert other.state[params[0]]["step"].item() == 3


def test_the_first_to_ask_may_be_the_stand_in(kind):
    param = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    optimizer = ours.Adam([param], ema_decay=0.5, state_dtype="bfloat16")
    assert kind(optimizer).ema[param] is param
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert optimizer.state[param]["exp_avg"].dtype == torch.bfloat16


@pytest.mark.parametrize("name", OF_TORCH)
def test_signatures_are_torchs_and_more(name):
    mine = inspect.signature(getattr(ours, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    tail = [field.name for field in dataclasses.fields(Tail)]
    assert [*mine][len(theirs) :] == ["state_dtype", "norm_group", *tail]
    assert [(p.name, p.kind, p.default) for p in [*mine.values()][: len(theirs)]] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize("base", [ours.Adam, ours.Momentum])
def test_signatures_of_derived_classes_are_their_own(base):
    """A command line that is made from signatures reads them."""

    class Derived(base):
        def __init__(self, params, depth=3, **rest):
            super().__init__(params, **rest)

    class Plain(base):
        pass

    class Twice(Derived):
        pass

    assert list(inspect.signature(Derived).parameters) == ["params", "depth", "rest"]
    assert inspect.signature(Twice) == inspect.signature(Derived)
    assert inspect.signature(Plain) == inspect.signature(base)


def test_hooks_of_all_optimizers_run_once_for_each_step():
    from torch.optim.optimizer import (
        register_optimizer_step_post_hook,
        register_optimizer_step_pre_hook,
    )

    seen = []
    hooks = [
        register_optimizer_step_pre_hook(lambda o, a, k: seen.append("before")),
        register_optimizer_step_post_hook(lambda o, a, k: seen.append("after")),
    ]
    try:
        params = parameters()
        optimizer = ours.Adam(params)
        optimizer.register_step_pre_hook(lambda o, a, k: ((o, lambda: "loss"), k))
        give_gradients(params, 0)
        assert optimizer.step() == "loss"  # of the closure that the hook supplied
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == ["before", "after"]
