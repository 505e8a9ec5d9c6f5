"""torch.optim's classes make drop-ins, and torch's optimizers again."""

import copy
import inspect
import logging
import pickle
import threading

import pytest

torch = pytest.importorskip("torch")

from torch.optim import AdamW as imported_before  # noqa: E402

import gpuopt.torch as ours  # noqa: E402
from gpuopt.torch.fused import Fused  # noqa: E402
from tests.helpers.scripts import run_script  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

NAMES = [name for name in dir(ours) if name != "Optimizer" and hasattr(torch.optim, name)]


@pytest.fixture(autouse=True)
def as_before():
    yield
    ours.uninstall()


def weight():
    return torch.ones(3, requires_grad=True)


def stepped(optimizer):
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", NAMES)
def test_each_class_makes_a_drop_in_and_torchs_again(name):
    theirs, drop_in = getattr(torch.optim, name), getattr(ours, name)
    signature = inspect.signature(theirs)
    assert name in ours.install()
    mine = stepped(theirs([weight()], lr=0.1))
    assert type(mine) is drop_in
    assert isinstance(mine, theirs)
    assert inspect.signature(theirs) == signature
    ours.uninstall()
    assert type(stepped(theirs([weight()], lr=0.1))) is theirs
    assert inspect.signature(theirs) == signature
    assert type(stepped(mine)) is drop_in


def test_where_a_class_was_imported_from_does_not_matter():
    ours.install()
    from torch.optim import AdamW
    from torch.optim.adamw import AdamW as from_its_module

    for each in (imported_before, AdamW, torch.optim.AdamW, from_its_module):
        assert type(each([weight()])) is ours.AdamW
        assert type(each(params=[weight()])) is ours.AdamW
    assert torch.optim.Optimizer.__new__ is object.__new__


def test_the_bits_are_those_of_the_drop_in():
    ours.install()
    params = [weight(), weight()]
    stepped(torch.optim.AdamW(params[:1], lr=0.1, fused=True, clip_norm=0.25))
    stepped(ours.AdamW(params[1:], lr=0.1, fused=True, clip_norm=0.25))
    assert torch.equal(*params)


def test_only_the_given_names():
    assert ours.install(["Adam", "SGD", "Adam"]) == ["Adam", "SGD"]
    assert type(torch.optim.Adam([weight()])) is ours.Adam
    assert type(torch.optim.AdamW([weight()])) is torch.optim.AdamW  # which derives from Adam
    assert "SGD" not in ours.install(("AdamW", "SGD"))
    assert type(torch.optim.AdamW([weight()])) is ours.AdamW
    assert ours.install(["AdamW"]) == []


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("Adam", TypeError, "names: expected names of .* in a list, got 'Adam'"),
        (5, TypeError, "names: expected names of .* in a list, got 5"),
        ([torch.optim.Adam], TypeError, "names: expected names of .*, got <class 'torch.optim"),
        (["SGD", "LBFGS"], ValueError, "names: expected names of .*, got 'LBFGS'"),
        (["Adam", "Adamw"], ValueError, "got 'Adamw'; did you mean AdamW?"),
        (["Lion"], ValueError, "names: expected names of .*, got 'Lion'"),
    ],
)
def test_names_that_are_refused_change_nothing(names, error, message):
    with pytest.raises(error, match=message):
        ours.install(names)
    assert type(torch.optim.SGD([weight()])) is torch.optim.SGD
    assert type(torch.optim.Adam([weight()])) is torch.optim.Adam


class Derived(torch.optim.AdamW):
    """A user's class, which changes torch's step."""

    def __init__(self, params, half=False, **options):
        super().__init__(params, **options)
        self.half = half


class Made:
    """Takes the arguments of a constructor by ``__new__``."""

    def __new__(cls, *args, **options):
        one = super().__new__(cls)
        one.given = len(args), sorted(options)
        return one


class Mixed(torch.optim.SGD, Made):
    """A class between whose bases torch's stands first."""


def test_classes_that_derive_from_torchs_stay_torchs():
    ours.install()
    mine = stepped(Derived([weight()], half=True, lr=0.1))
    assert not isinstance(mine, Fused)
    assert mine.half
    assert Mixed([weight()], lr=0.1).given == (1, ["lr"])


def test_what_derives_from_a_drop_in_is_made_as_before():
    class Own(ours.AdamW):
        def __init__(self, params):
            super().__init__(params, lr=0.5)

    ours.install()
    assert type(stepped(Own([weight()]))) is Own


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda o: pickle.loads(pickle.dumps(o))]
)
@pytest.mark.parametrize("before", [False, True])
def test_copies_stay_what_they_are(copied, before):
    """Made before an install and copied after it, or the other way round."""
    if not before:
        ours.install()
    optimizer = stepped(torch.optim.Adam([weight()], lr=0.1))
    ours.uninstall() if not before else ours.install()
    other = copied(optimizer)
    assert type(other) is type(optimizer) is (torch.optim.Adam if before else ours.Adam)
    assert stepped(other).state_dict()["state"][0]["step"] == 2


def test_pickles_go_between_processes_with_and_without(tmp_path):
    code = """
    import pickle, torch, gpuopt
    gpuopt.use_backend("numpy")
    import gpuopt.torch
    import logging; logging.disable()
    {first}
    w = torch.ones(3, requires_grad=True)
    opt = torch.optim.AdamW([w], lr=0.1)
    w.grad = torch.ones(3)
    opt.step()
    torch.save((w, opt), {path!r})
    """
    read = """
    import torch, gpuopt
    gpuopt.use_backend("numpy")
    import gpuopt.torch
    import logging; logging.disable()
    {second}
    w, opt = torch.load({path!r}, weights_only=False)
    w.grad = torch.ones(3)
    opt.step()
    print(type(opt).__module__, int(opt.state[w]["step"]), opt.param_groups[0]["params"][0] is w)
    """
    install, path = "gpuopt.torch.install()", str(tmp_path / "saved.pt")
    run_script(code.format(first=install, path=path))
    assert run_script(read.format(second="", path=path)) == "gpuopt.torch.classes 2 True\n"
    run_script(code.format(first="", path=path))
    assert run_script(read.format(second=install, path=path)) == "torch.optim.adamw 2 True\n"


def test_what_drop_ins_refuse_stays_torchs():
    ours.install()
    assert type(torch.optim.Adam([weight()], differentiable=True)) is torch.optim.Adam


def test_wrong_arguments_are_refused_as_a_drop_in_refuses_them():
    ours.install()
    with pytest.raises(TypeError, match="learning_rate"):
        torch.optim.Adam([weight()], learning_rate=0.1)
    with pytest.raises(TypeError, match="params"):
        torch.optim.Adam()


def test_schedulers_take_them():
    ours.install()
    optimizer = torch.optim.SGD([weight()], lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    stepped(optimizer)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25]


def test_what_nanogpt_and_torchtitan_call():
    """One asks the signature for ``fused``; the other says which implementation it is not."""
    ours.install()
    groups = [{"params": [weight()], "weight_decay": 0.1}, {"params": [weight()]}]
    assert "fused" in inspect.signature(torch.optim.AdamW).parameters
    first = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95), fused=True)
    options = {"eps": 1e-8, "weight_decay": 0.1, "fused": True, "foreach": False}
    classes = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}
    second = classes["AdamW"]([weight()], lr=0.1, betas=(0.9, 0.95), **options)
    for optimizer in (first, second):
        assert type(stepped(optimizer)) is ours.AdamW


def test_it_is_said_once(caplog, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with caplog.at_level(logging.INFO, "gpuopt"):
        ours.install(["SGD", "Adam"])
        ours.install(["SGD", "Adam"])
        (said,) = caplog.records
        assert said.levelno == logging.WARNING  # which is shown where no logging is set up
        assert "torch.optim's Adam, SGD make drop-ins" in said.message
        monkeypatch.setenv("RANK", "1")
        ours.install(["AdamW"])
        assert caplog.records[1].levelno == logging.INFO


def test_many_threads_install_once():
    found, start = [], threading.Barrier(8)

    def install():
        start.wait()
        found.append(ours.install())

    threads = [threading.Thread(target=install) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, found)) == [0] * 7 + [len(NAMES)]
