"""Replicated parameters: DDP, and ZeroRedundancyOptimizer around our optimizers."""

import copy
from functools import partial

import torch
import torch.distributed as dist
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import Shard
from torch.nn.parallel import DistributedDataParallel

import gpuopt.torch as ours
from tests.distributed.models import (
    assert_equal,
    error_of,
    give_gradients,
    mesh,
    network,
    tensors,
    train,
)
from tests.tolerances import assert_close

TAIL = {"clip_norm": 3.0, "skip_nonfinite": True}


def ddp_is_trained_as_one_process(folder):
    one, many = network(), DistributedDataParallel(network())
    for model in (one, many):
        opt = ours.Adam(model.parameters(), lr=0.05, clip_norm=0.05, ema_decay=0.5)
        train(model, opt, 20)
        with opt.ema_weights(), torch.no_grad():
            train_loss = model(torch.ones(2, 7))
    assert_equal(many.parameters(), one.parameters())
    assert train_loss.isfinite().all()


def a_step_in_the_backward_pass_is_refused_under_ddp(folder):
    one = network()
    many = DistributedDataParallel(network())
    error = error_of(RuntimeError, lambda: ours.StepInBackward(many.parameters(), ours.Adam))
    assert "use FSDP2" in error
    inner = network()
    opt = ours.StepInBackward(inner.parameters(), ours.Adam)
    wrapped = DistributedDataParallel(inner)
    error = error_of(RuntimeError, lambda: wrapped(torch.ones(2, 7)).sum().backward())
    assert "use FSDP2" in error
    assert_equal(inner.parameters(), one.parameters())
    opt.remove()


def zero_is_trained_as_one_process(folder):
    one, many, theirs = network(), DistributedDataParallel(network()), network()
    opt = ours.Adam(one.parameters(), lr=0.05)
    zero = ZeroRedundancyOptimizer(many.parameters(), ours.Adam, lr=0.05)
    other = ZeroRedundancyOptimizer(theirs.parameters(), torch.optim.Adam, lr=0.05)
    for model, optimizer in ((one, opt), (many, zero), (theirs, other)):
        train(model, optimizer, 20)
    assert_equal(many.parameters(), one.parameters())
    for p, q in zip(many.parameters(), theirs.parameters()):
        assert_close(p.detach(), q.detach(), "ten trained steps")
    assert len(zero.optim.state) < len(list(one.parameters()))


def the_norm_is_that_of_all_processes(folder):
    one, many = tensors(), tensors()
    opt = ours.SGD(one, lr=0.5, **TAIL)
    zero = ZeroRedundancyOptimizer(many, ours.SGD, lr=0.5, norm_group="world", **TAIL)
    for step in range(3):
        for params, optimizer in ((one, opt), (many, zero)):
            give_gradients(params, step)
            optimizer.step()
        assert zero.optim.grad_norm == opt.grad_norm > 3.0
    assert_equal(many, one)


def an_infinity_skips_the_step_of_all_owners(folder):
    params = tensors()
    group = dist.new_group(list(range(dist.get_world_size())))
    kind = partial(ours.Adam, norm_group=group, **TAIL)
    zero = ZeroRedundancyOptimizer(params, kind, lr=0.5)
    before = [p.detach().clone() for p in params]
    give_gradients(params, 0)
    params[0].grad[0, 0] = torch.inf
    zero.step()
    assert_equal(params, before)
    assert zero.optim.skipped_steps == 1
    give_gradients(params, 0)
    zero.step()
    assert not torch.equal(params[0], before[0])


def a_scaler_skips_the_step_of_all_owners(folder):
    """Each process has a scaler and a tensor of its own; one overflows."""
    param = torch.ones(3, requires_grad=True)
    opt = ours.SGD([param], lr=0.5, norm_group="world")
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for step in range(2):
        scaler.scale(param.sum()).backward()
        if step == 0 and dist.get_rank() == 0:
            param.grad[0] = torch.inf
        scaler.step(opt)
        scaler.update()
        opt.zero_grad()
        assert param.tolist() == [1.0 - 0.5 * step] * 3


def statistics_are_of_each_owners_tensors(folder):
    one, many = tensors(), tensors()
    opt = ours.SGD(one, lr=0.5, stats=True, **TAIL)
    zero = ZeroRedundancyOptimizer(many, ours.SGD, lr=0.5, norm_group="world", stats=True, **TAIL)
    for params, optimizer in ((one, opt), (many, zero)):
        give_gradients(params, 0)
        optimizer.step()
    own = [p for group in zero.optim.param_groups for p in group["params"]]
    found, everything = list(zero.optim.stats().values()), list(opt.stats().values())
    assert len(own) == len(found) < len(everything)
    for p, stats in zip(own, found):
        assert stats == everything[next(i for i, q in enumerate(many) if q is p)]


def a_process_without_any_parameter_takes_part(folder):
    one, many = tensors(shapes=((3, 2),)), tensors(shapes=((3, 2),))
    opt = ours.Adam(one, lr=0.5, **TAIL)
    zero = ZeroRedundancyOptimizer(many, ours.Adam, lr=0.5, norm_group="world", **TAIL)
    assert any(g["params"] for g in zero.optim.param_groups) == (dist.get_rank() == 0)
    for step in range(3):
        for params, optimizer in ((one, opt), (many, zero)):
            give_gradients(params, step)
            if step == 1:
                params[0].grad[0, 0] = torch.nan
            optimizer.step()
        if step != 1:
            assert zero.optim.grad_norm == opt.grad_norm > 1.0
    assert zero.optim.skipped_steps == opt.skipped_steps == 1
    assert_equal(many, one)


def plain_parameters_of_one_process_count_in_all(folder):
    """Shards that all have, and a plain parameter that only the first process has."""
    one = tensors(shapes=((5, 3), (4,)))
    many = tensors([Shard(0)], mesh(), shapes=((5, 3),)) + tensors(shapes=((5, 3), (4,)))[1:]
    opt = ours.SGD(one, lr=0.5, **TAIL)
    own = many if dist.get_rank() == 0 else many[:1]
    other = ours.SGD(own, lr=0.5, norm_group="world", **TAIL)
    for step in range(2):
        for params, optimizer in ((one, opt), (many, other)):
            give_gradients(params, step)
            optimizer.step()
        assert other.grad_norm == opt.grad_norm > 3.0
    other.found_inf = torch.tensor(float(dist.get_rank() == 0))
    other.step()
    assert_equal(own, one[: len(own)])


def zeros_checkpoint_is_that_of_one_process(folder):
    one, many, again = tensors(), tensors(), tensors()
    opt = ours.Adam(one, lr=0.5, ema_decay=0.5)
    zero, new = (
        ZeroRedundancyOptimizer(p, ours.Adam, lr=0.5, ema_decay=0.5) for p in (many, again)
    )
    for params, optimizer in ((one, opt), (many, zero)):
        give_gradients(params, 0)
        optimizer.step()
    with torch.no_grad():
        for p, q in zip(again, many):
            p.copy_(q)
    zero.consolidate_state_dict(to=0)
    everywhere = [zero.state_dict() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(everywhere)
    saved = everywhere[0]
    for i, p in enumerate(one):
        for name, state in opt.state[p].items():
            assert torch.equal(saved["state"][i][name], state), name
    new.load_state_dict(saved)
    for params, optimizer in ((one, opt), (again, new)):
        give_gradients(params, 1)
        optimizer.step()
    assert_equal(again, one)


def zeros_states_have_8_bits_too(folder):
    """Groups with a ``state_dtype`` of their own, which ZeRO copies to its inner optimizer."""
    made = []
    for _ in range(2):
        params = tensors()
        groups = [{"params": params[:3]}, {"params": params[3:], "state_dtype": "float32"}]
        options = {"lr": 0.5, "state_dtype": "8bit", "min_8bit_size": 0}
        made.append((params, ZeroRedundancyOptimizer(groups, ours.Adam, **options)))
    (params, zero), (again, new) = made
    for step in range(2):
        give_gradients(params, step)
        zero.step()
    with torch.no_grad():
        for p, q in zip(again, params):
            p.copy_(q)
    inner = zero.optim._tensor_step.step
    owned = [p for group in zero.optim.param_groups for p in group["params"]]
    for p, formats in zip(owned, inner.formats):
        assert bool(formats) == any(p is q for q in params[:3])
    zero.consolidate_state_dict(to=0)
    everywhere = [zero.state_dict() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(everywhere)
    assert [g["state_dtype"] for g in everywhere[0]["param_groups"]] == ["8bit", "float32"]
    new.load_state_dict(copy.deepcopy(everywhere[0]))  # ZeRO shares what it loads
    for own, optimizer in made:
        give_gradients(own, 2)
        optimizer.step()
    assert_equal(again, params)


def a_wrong_group_is_refused(folder):
    for wrong in (3, "all", torch.ones(2), mesh()):
        told = error_of(TypeError, lambda wrong=wrong: ours.SGD(tensors(), norm_group=wrong))
        assert f"norm_group: expected None, 'world' or a process group, got {wrong!r}" in told


CHECKS = [
    ddp_is_trained_as_one_process,
    a_step_in_the_backward_pass_is_refused_under_ddp,
    zero_is_trained_as_one_process,
    the_norm_is_that_of_all_processes,
    an_infinity_skips_the_step_of_all_owners,
    a_scaler_skips_the_step_of_all_owners,
    statistics_are_of_each_owners_tensors,
    a_process_without_any_parameter_takes_part,
    plain_parameters_of_one_process_count_in_all,
    zeros_checkpoint_is_that_of_one_process,
    zeros_states_have_8_bits_too,
    a_wrong_group_is_refused,
]
