"""Checkpoints of sharded training: written by two processes, read by any number, and torch's."""

import contextlib
import copy
import os
import threading
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)

import gpuopt.torch as ours
from gpuopt.optimizers.loaded import OF_TAILS
from tests.distributed.models import assert_equal, network, sharded, train, whole
from tests.tolerances import TOLERANCES, assert_close

TAILS = {
    "plain": (torch.float32, {}),
    "averaged": (torch.float32, {"ema_decay": 0.75, "weight_decay": 0.1}),
    "masters": (torch.bfloat16, {"master_weights": True, "ema_decay": 0.75}),
    "rounded": (torch.bfloat16, {"stochastic_rounding": True, "seed": 7}),
    "split": (torch.bfloat16, {"master_weights": "split16", "ema_decay": 0.75}),
    "compensated": (torch.bfloat16, {"kahan_sum": True}),
}


FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
HANDED_OUT = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def _new(dtype, tail, spread=True, kind=ours.Adam):
    model = network(dtype)
    if spread:
        sharded(model)
    return model, kind(model.parameters(), lr=0.01, **tail)


def _trained(name, steps, spread=True):
    """A model and its optimizer after some steps in one go."""
    model, opt = _new(*TAILS[name], spread)
    train(model, opt, steps)
    return model, opt


def _load(path, model, opt, without=()):
    """Load a checkpoint as torch's documentation does, ``without`` states that it does not have."""
    own_model, own_opt = get_state_dict(model, opt)
    for states in own_opt["state"].values():
        for name in without:
            states.pop(name, None)
    state = {"model": own_model, "optim": own_opt}
    dcp.load(state, checkpoint_id=path)
    set_state_dict(model, opt, model_state_dict=state["model"], optim_state_dict=state["optim"])


def _save(path, model, opt):
    own_model, own_opt = get_state_dict(model, opt)
    dcp.save({"model": own_model, "optim": own_opt}, checkpoint_id=path)


def _assert_alike(model, opt, other, theirs):
    assert_equal(model.parameters(), other.parameters())
    for p, q in zip(model.parameters(), other.parameters()):
        assert opt.state[p].keys() == theirs.state[q].keys()
        for name, state in opt.state[p].items():
            assert torch.equal(bits(whole(state)), bits(whole(theirs.state[q][name]))), name


def bits(values):
    """What rounding cut off is in ``state`` as a bfloat16 of the same bits, some of them NaN."""
    return values.view(torch.int16) if values.dtype is torch.bfloat16 else values


def _assert_they_go_on_alike(model, opt, other, theirs):
    """The second has the states of the first after three steps; its weights are made the same."""
    with torch.no_grad():
        for p, q in zip(model.parameters(), other.parameters()):
            q.copy_(p)
    _assert_alike(other, theirs, model, opt)
    train(model, opt, 2, first=3)
    train(other, theirs, 2, first=3)
    _assert_alike(other, theirs, model, opt)


def written(folder):
    """Three steps, and a checkpoint of each kind, for whatever number of processes comes next."""
    for name in TAILS:
        model, opt = _trained(name, 3)
        _save(folder / name, model, opt)
        full = get_optimizer_state_dict(model, opt, options=FULL)
        if dist.get_rank() == 0:
            torch.save(full, folder / f"{name}.pt")
    for name, dtype in {"torch": torch.float32, "torch16": torch.bfloat16}.items():
        model, opt = _new(dtype, {}, kind=torch.optim.Adam)
        train(model, opt, 3)
        _save(folder / name, model, opt)


def resumed(folder):
    """Six steps in one go are three, a checkpoint of two processes, and three more."""
    for name in TAILS:
        if name == "rounded":  # another number of shards rounds otherwise from here on
            continue
        model, opt = _new(*TAILS[name])
        _load(folder / name, model, opt)
        _assert_alike(model, opt, *_trained(name, 3, spread=False))
        train(model, opt, 3, first=3)
        _assert_alike(model, opt, *_trained(name, 6, spread=False))


def resumed_with_the_same_roundings(folder):
    """As many processes as wrote it go on with the same bits; others have the same seeds."""
    model, opt = _new(torch.bfloat16, {"stochastic_rounding": True, "seed": 8})
    _load(folder / "rounded", model, opt)
    fresh, theirs = _new(*TAILS["rounded"])
    train(fresh, theirs, 1)
    for p, q in zip(model.parameters(), fresh.parameters()):
        assert opt.state[p]["rounding_seed"] == theirs.state[q]["rounding_seed"]
    train(model, opt, 3, first=3)
    if dist.get_world_size() == 2:
        _assert_alike(model, opt, *_trained("rounded", 6))


def a_whole_state_dict_fits_any_number(folder):
    """What the first of two processes saved with torch.save, for us and for torch.optim."""
    for name, (dtype, tail) in TAILS.items():
        one, theirs = _trained(name, 3, spread=False)
        for kind in (ours.Adam, torch.optim.Adam):
            mine = kind is ours.Adam
            model, opt = _new(dtype, tail if mine else {}, kind=kind)
            full = torch.load(folder / f"{name}.pt") if dist.get_rank() == 0 else {}
            set_optimizer_state_dict(model, opt, full, options=HANDED_OUT)
            for p, q in zip(model.parameters(), one.parameters(), strict=True):
                names = theirs.state[q].keys() if mine else {"step", "exp_avg", "exp_avg_sq"}
                assert opt.state[p].keys() >= names
                if name != "rounded":  # whose weights, and so gradients, are others by now
                    for n in names:
                        own, other = whole(opt.state[p][n]), theirs.state[q][n]
                        other = other if mine else other.to(own.dtype)
                        assert torch.equal(bits(own), bits(other)), n
            train(model, opt, 1, first=3)


def handed_on(folder):
    """Load, and save again, for the next number of processes."""
    for name in TAILS:
        model, opt = _new(*TAILS[name])
        _load(folder / name, model, opt)
        _save(folder / "again" / name, model, opt)


def resumed_again(folder):
    """From two processes to as many as handed it on, and on to these."""
    resumed(folder / "again")
    resumed_with_the_same_roundings(folder / "again")


def exchanged_with_torch(folder):
    """torch.optim reads what we wrote, and we what it wrote."""
    for name, kinds in {"torch": (ours.Adam,), "plain": (torch.optim.Adam, ours.Adam)}.items():
        one, theirs = _trained("plain", 3, spread=False)
        for kind in kinds:
            model, opt = _new(torch.float32, {}, kind=kind)
            _load(folder / name, model, opt)
            for p, q in zip(model.parameters(), one.parameters(), strict=True):
                assert_close(whole(p), q.detach(), "ten trained steps")
                assert opt.state[p].keys() == theirs.state[q].keys()
                assert int(opt.state[p]["step"]) == 3
                if name == "plain":
                    assert torch.equal(whole(opt.state[p]["exp_avg"]), theirs.state[q]["exp_avg"])
            train(model, opt, 1, first=3)


def torchs_checkpoint_starts_masters_and_averages(folder):
    """From the weights that were loaded, not those that the optimizer was made with."""
    for name, saved in {
        "averaged": "torch",
        "masters": "torch16",
        "compensated": "torch16",
    }.items():
        dtype, tail = TAILS[name]
        donor, theirs = _new(dtype, {}, kind=torch.optim.Adam)
        _load(folder / saved, donor, theirs)
        (model, opt), (other, twin) = _new(dtype, tail), _new(dtype, tail)
        with torch.no_grad():
            for p, q, r in zip(*(m.parameters() for m in (model, other, donor)), strict=True):
                p.fill_(5.0)
                q.copy_(r)
        _load(folder / saved, model, opt, without=OF_TAILS | {"rounding_seed"})
        twin.load_state_dict(theirs.state_dict())
        train(model, opt, 1, first=3)
        train(other, twin, 1, first=3)
        assert_equal(model.parameters(), other.parameters())
        for p, q in zip(model.parameters(), other.parameters()):
            begun = OF_TAILS & opt.state[p].keys()
            assert begun == OF_TAILS & twin.state[q].keys() != set()
            for key in begun:
                mine, theirs = whole(opt.state[p][key]), whole(twin.state[q][key])
                assert torch.equal(bits(mine), bits(theirs)), key


def whole_state_dicts_go_through_one_rank(folder):
    """A full state dict, on the first rank alone, is handed out to all; it fits one process."""
    for name in TAILS:
        model, opt = _trained(name, 3)
        full = get_optimizer_state_dict(model, opt, options=FULL)
        assert bool(full) == (dist.get_rank() == 0)
        other, theirs = _new(*TAILS[name])
        set_optimizer_state_dict(other, theirs, full, options=HANDED_OUT)
        _assert_they_go_on_alike(model, opt, other, theirs)


def flat_state_dicts_are_those_of_the_same_shards(folder):
    options = StateDictOptions(flatten_optimizer_state_dict=True, cpu_offload=True)
    for name in TAILS:
        model, opt = _trained(name, 3)
        flat = copy.deepcopy(get_optimizer_state_dict(model, opt, options=options))
        assert all(key.startswith(("state.", "param_groups.")) for key in flat)
        other, theirs = _new(*TAILS[name])
        set_optimizer_state_dict(other, theirs, flat, options=options)
        _assert_they_go_on_alike(model, opt, other, theirs)


def torchs_own_state_dicts_are_shards(folder):
    """state_dict() of a sharded optimizer, loaded by another one of the same sharding."""
    for name in TAILS:
        model, opt = _trained(name, 3)
        other, theirs = _new(*TAILS[name])
        theirs.load_state_dict(opt.state_dict())
        for p, q in zip(model.parameters(), other.parameters()):
            assert opt.state[p].keys() == theirs.state[q].keys()
            for key, state in opt.state[p].items():
                assert torch.equal(bits(whole(theirs.state[q][key])), bits(whole(state)))


def killed_in_mid_run(folder):
    """A checkpoint after each step, until one of the processes is killed while it writes one."""
    model, opt = _new(*TAILS["averaged"])
    for step in range(4):
        train(model, opt, 1, first=step)
        if step == 3:
            _die(lambda: _save(folder / "step3", model, opt))
        _save(folder / f"step{step}", model, opt)
        (folder / "last.part").write_text(str(step))
        dist.barrier()
        if dist.get_rank() == 0:
            os.replace(folder / "last.part", folder / "last")
        dist.barrier()


def _die(save):
    """Be killed while writing, on the second rank; and be ended by a launcher, on the first."""
    if dist.get_rank() == 1:
        killed = mock.patch.object(
            dcp.FileSystemWriter, "write_data", lambda *_: os.kill(os.getpid(), 9)
        )
        with killed:
            save()
    threading.Timer(3, os._exit, (3,)).start()  # where it waits for the other for ever
    with contextlib.suppress(Exception):
        save()
    os._exit(3)


def loaded_after_the_kill(folder):
    """The last checkpoint that was finished is whole."""
    last = int((folder / "last").read_text())
    assert last == 2
    assert (folder / "step3").exists()  # begun, and never finished
    assert not (folder / "step3" / ".metadata").exists()
    model, opt = _new(*TAILS["averaged"])
    _load(folder / f"step{last}", model, opt)
    _assert_alike(model, opt, *_trained("averaged", last + 1, spread=False))


CODED = {"state_dtype": "8bit", "min_8bit_size": 0}


def _coded(**options):
    model = sharded(_wide_network())
    return model, ours.Adam(model.parameters(), lr=0.01, **(options or CODED))


def _wide_network():
    """Layers whose shards begin inside a block, and at the beginning of one."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(7, 30), torch.nn.Tanh(), torch.nn.Linear(30, 64)]
    return torch.nn.Sequential(*layers)


def coded_states_are_written(folder):
    """The state dict has the float32 values of all shards, whatever the number of processes."""
    model, opt = _coded()
    train(model, opt, 3)
    _save(folder / "coded", model, opt)
    full = get_optimizer_state_dict(model, opt, options=FULL)
    if dist.get_rank() == 0:
        torch.save(full, folder / "coded.pt")
    again, theirs = _coded()
    _load(folder / "coded", again, theirs)
    train(model, opt, 2, first=3)
    train(again, theirs, 2, first=3)
    _assert_alike(model, opt, again, theirs)


def _encoded_again(opt):
    """The values of the states when the next step has taken them over, before it changes them."""
    step = opt._tensor_step_for(opt._params()).step
    step._states.allocate(range(len(step.params)), opt._groups())
    assert any(step.formats)
    return step.values_of_states()


def coded_states_are_read(folder):
    """No bit is lost by loading; a shard with other blocks rounds again, by less than a code."""
    model, opt = _coded()
    _load(folder / "coded", model, opt)
    full = torch.load(folder / "coded.pt", weights_only=True)["state"]
    loaded = {}
    for name, p in model.named_parameters():
        for state in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(whole(opt.state[p][state]), full[name][state]), (name, state)
            loaded[p, state] = opt.state[p][state].to_local().clone()
    worst = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
    for p, own in zip(model.parameters(), _encoded_again(opt)):
        for state in worst:
            before, after = loaded[p, state].reshape(-1), own[state].reshape(-1)
            for block, again in zip(before.split(32), after.split(32)):
                error = (block - again).abs().max() / block.abs().max().clamp(min=1e-30)
                worst[state] = max(worst[state], error.item())
    assert worst["exp_avg"] <= TOLERANCES["re-encoded softsign8"].relative, worst
    assert worst["exp_avg_sq"] <= TOLERANCES["re-encoded root8"].relative, worst
    if dist.get_world_size() == 2:  # as many as wrote it: all blocks are the same
        assert worst == {"exp_avg": 0.0, "exp_avg_sq": 0.0}, worst
    train(model, opt, 3, first=3)
    for p in model.parameters():
        assert whole(p).isfinite().all()


def coded_states_go_to_torch_and_back(folder):
    """torch.optim's checkpoint into states in 8 bits, and theirs into torch.optim."""
    model = sharded(_wide_network())
    theirs = torch.optim.Adam(model.parameters(), lr=0.01)
    _load(folder / "coded", model, theirs, without=("rounding_seed",))
    full = torch.load(folder / "coded.pt", weights_only=True)["state"]
    for name, p in model.named_parameters():
        assert torch.equal(whole(theirs.state[p]["exp_avg"]), full[name]["exp_avg"])
    train(model, theirs, 1, first=3)
    other, opt = _coded()
    opt.load_state_dict(theirs.state_dict())
    for p, q in zip(model.parameters(), other.parameters()):
        assert torch.equal(whole(opt.state[q]["exp_avg"]), whole(theirs.state[p]["exp_avg"]))
    train(other, opt, 1)


WRITTEN = [
    coded_states_are_written,
    written,
    resumed_with_the_same_roundings,
    exchanged_with_torch,
    whole_state_dicts_go_through_one_rank,
    flat_state_dicts_are_those_of_the_same_shards,
    torchs_own_state_dicts_are_shards,
]
READ = [
    coded_states_are_read,
    coded_states_go_to_torch_and_back,
    resumed,
    resumed_with_the_same_roundings,
    a_whole_state_dict_fits_any_number,
    exchanged_with_torch,
    torchs_checkpoint_starts_masters_and_averages,
    loaded_after_the_kill,
]
HANDED_ON = [handed_on]
READ_AGAIN = [resumed_again]
KILLED = [killed_in_mid_run]
