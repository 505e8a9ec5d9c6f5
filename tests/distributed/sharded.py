"""Sharded parameters: the same steps as in one process, and as torch.optim takes them."""

import copy
from functools import partial
from unittest import mock

import torch
import torch.distributed as dist
from gpuopt.kernels.torch_memory import TorchMemory
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.utils import clip_grad_norm_

import gpuopt
import gpuopt.torch as ours
from gpuopt.rules.definitions import DEFINITIONS
from gpuopt.torch.process_groups import TorchProcessGroups
from tests.distributed.models import (
    assert_equal,
    batch,
    eighths,
    error_of,
    give_gradients,
    mesh,
    network,
    sharded,
    tensors,
    train,
    whole,
)
from tests.distributed.replicas import plain_parameters_of_one_process_count_in_all
from tests.rules.oracles import training
from tests.tolerances import assert_close

TAIL = {"clip_norm": 3.0, "skip_nonfinite": True, "stats": True, "ema_decay": 0.75}


def twenty_steps_are_those_of_one_process(folder):
    one, many = network(), sharded(network())
    opts = [ours.Adam(m.parameters(), lr=0.05, weight_decay=0.1) for m in (one, many)]
    for model, opt in zip((one, many), opts):
        train(model, opt, 20)
    assert_equal(many.parameters(), one.parameters())
    for p, q in zip(one.parameters(), many.parameters()):
        for name, state in opts[0].state[p].items():
            assert torch.equal(whole(opts[1].state[q][name]), state), name
            assert name == "step" or isinstance(opts[1].state[q][name], DTensor), name


def twenty_steps_are_torchs_under_the_same_sharding(folder):
    for clip in (None, 0.05):
        mine, other = sharded(network(torch.float64)), sharded(network(torch.float64))
        tail = {} if clip is None else {"clip_norm": clip}
        clipping = None if clip is None else lambda params: clip_grad_norm_(params, 0.05)
        train(mine, ours.AdamW(mine.parameters(), lr=0.01, **tail), 20)
        train(other, torch.optim.AdamW(other.parameters(), lr=0.01), 20, between=clipping)
        for p, q in zip(mine.parameters(), other.parameters()):
            assert_close(whole(p), whole(q), "twenty trained steps float64")


def offloaded_shards_are_those_of_one_process(folder):
    one, many = network(), sharded(network(), offload_policy=CPUOffloadPolicy(pin_memory=False))
    for model in (one, many):
        train(model, ours.Adam(model.parameters(), lr=0.05, skip_nonfinite=True), 5)
    assert_equal(many.parameters(), one.parameters())


def mixed_precision_is_torchs_under_the_same_sharding(folder):
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    mine, other = (sharded(network(), mp_policy=policy) for _ in range(2))
    train(mine, ours.Adam(mine.parameters(), lr=0.05), 5)
    train(other, torch.optim.Adam(other.parameters(), lr=0.05), 5)
    for p, q in zip(mine.parameters(), other.parameters()):
        assert_close(whole(p), whole(q), "ten trained steps")


def every_optimizer_steps_shards_of_any_dimension(folder):
    where = mesh()
    names = list(DEFINITIONS)
    for name in names:
        for dimension in (0, 1):
            shapes = ((7, 6), (2, 3), (1, 4))
            one, many = tensors(shapes=shapes), tensors([Shard(dimension)], where, shapes=shapes)
            with gpuopt.use_backend("numpy"):
                make = partial(getattr(ours, name), lr=0.125, **training(name))
                opts = [make(params) for params in (one, many)]
                for step in range(3):
                    for params, opt in zip((one, many), opts):
                        give_gradients(params, step)
                        opt.step()
            assert_equal(many, one)


def estimates_are_of_all_shards(folder):
    """Gradients of one sign let them grow. A rank without gradients takes part."""
    for name, options in (("DAdaptAdam", {}), ("Prodigy", {}), ("Prodigy", {"one_pass": True})):
        kinds = ([Shard(0)], mesh()), ([Replicate()], mesh()), ()
        one, many = (
            [p for kind in own for p in tensors(*kind, shapes=((8, 6),))]
            for own in ([()] * 3, kinds)
        )
        opts = [getattr(ours, name)(params, d0=0.125, **options) for params in (one, many)]
        for step in range(5):
            for params, opt in zip((one, many), opts):
                give_gradients(params, step)
                for p in params:
                    p.grad = 2.0 + p.grad
                if step == 4 and dist.get_rank() > 0:
                    params[0].grad = None
                with CommDebugMode() as heard:
                    opt.step()
                assert heard.get_total_counts() == (params is many)
            if step < 4:
                assert_close(opts[1].d, opts[0].d, "totals of a backend")
                for mine, other in zip(many, one):
                    assert_close(whole(mine), whole(other), "totals of a backend")
        assert opts[1].d > 0.125
        estimates = [torch.zeros((), dtype=torch.float64) for _ in range(dist.get_world_size())]
        dist.all_gather(estimates, torch.tensor(opts[1].d, dtype=torch.float64))
        assert len(set(map(float, estimates))) == 1


def a_step_in_the_backward_pass_is_that_of_one_process(folder):
    one, many = network(), sharded(network())
    for model in (one, many):
        params = list(model.parameters())
        opts = ours.StepInBackward(params, ours.AdamW, lr=0.05, ema_decay=0.5, stats=True)
        for step in range(5):
            model(batch(step)).square().mean().backward()
            assert all(p.grad is None for p in params)
        averages = [opt.ema[p] for opt, p in zip(opts.optimizers, params)]
        if model is one:
            expected = averages
    assert_equal(many.parameters(), one.parameters())
    assert_equal(averages, expected)


def gradients_accumulate_in_the_backward_pass_as_in_one_process(folder):
    for kind, make in (("exact", ours.AdamW), ("moments", ours.Lion)):
        one, many = network(), sharded(network())
        for model in (one, many):
            params = list(model.parameters())
            options = {"accumulation": kind, "accumulation_steps": 2, "lr": 0.05}
            opt = ours.StepInBackward(params, make, **options)
            schedule = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
            for step in range(6):
                model(batch(step)).square().mean().backward()
                held = [p.grad is not None for p in params]
                assert held == [kind == "exact" and step % 2 == 0] * len(params)
                if step % 2:
                    opt.step()
                    schedule.step()
        assert_equal(many.parameters(), one.parameters())


def what_steps_in_the_backward_pass_is_saved_as_an_optimizer(folder):
    """By torch.distributed.checkpoint's functions, which torchtitan calls."""
    first, second, third = (sharded(network()) for _ in range(3))
    opts = [ours.StepInBackward(m.parameters(), ours.AdamW, lr=0.05) for m in (first, second)]
    for step in range(3):
        first(batch(step)).square().mean().backward()
    saved = get_optimizer_state_dict(first, opts[0])
    set_optimizer_state_dict(second, opts[1], saved)
    plain = ours.AdamW(third.parameters(), lr=0.5)
    set_optimizer_state_dict(third, plain, saved)
    assert opts[1].param_groups[0]["lr"] == plain.param_groups[0]["lr"] == 0.05
    for model in (second, third):
        for p, q in zip(model.parameters(), first.parameters()):
            with torch.no_grad():
                p.copy_(q)
    for model in (first, second, third):
        model(batch(3)).square().mean().backward()
    plain.step()
    assert_equal(second.parameters(), first.parameters())
    assert_equal(third.parameters(), first.parameters())


def frozen_and_missing_gradients_differ_among_processes(folder):
    params = tensors([Shard(0)], mesh())
    params[1].requires_grad_(False)
    frozen = whole(params[1])
    opt = ours.Adam(params, lr=0.5, **TAIL)
    for step in range(4):
        give_gradients(params, step)
        for i, p in enumerate(params):
            if i == 1 or (i + step + dist.get_rank()) % 2:
                p.grad = None
        opt.step()
        norms = [torch.zeros(()) for _ in range(dist.get_world_size())]
        dist.all_gather(norms, torch.tensor(opt.grad_norm))
        assert norms[0] > 0
        assert all(norm == norms[0] for norm in norms)
        opt.stats()
    assert torch.equal(whole(params[1]), frozen)


def a_copy_and_a_group_added_later_know_all_processes(folder):
    one, many = tensors(), tensors([Shard(0)], mesh())
    more, others = tensors(), tensors([Shard(0)], mesh())
    opts = [ours.Adam(params, lr=0.1, **TAIL) for params in (one, many)]
    for params, opt, added in zip((one, many), opts, (more, others)):
        give_gradients(params, 0)
        opt.step()
        opt.add_param_group({"params": added, "lr": 0.5})
    twin = copy.deepcopy(opts[1])
    copied = [p for group in twin.param_groups for p in group["params"]]
    for params, opt in ((one + more, opts[0]), (many + others, opts[1]), (copied, twin)):
        give_gradients(params, 1)
        opt.step()
    assert opts[0].grad_norm == opts[1].grad_norm == twin.grad_norm > 3.0
    assert_equal(many + others, one + more)
    assert_equal(copied, one + more)


def complex_parameters_are_sharded_too(folder):
    values = torch.complex(eighths((5, 2), 1), eighths((5, 2), 2))
    one = torch.nn.Parameter(values)
    many = torch.nn.Parameter(distribute_tensor(values, mesh(), [Shard(0)]))
    for param in (one, many):
        opt = ours.Adam([param], lr=0.1)
        grad = torch.complex(eighths((5, 2), 3), eighths((5, 2), 4))
        param.grad = distribute_tensor(grad, mesh(), [Shard(0)]) if param is many else grad
        opt.step()
        opt.state  # noqa: B018 - lends the states, which the next step then looks at
        opt.step()
    assert_equal([many], [one])


def mixed(where, other):
    """Parameters of five kinds of spread, and the same in one process."""
    kinds = [None, (where, [Shard(0)]), (where, [Replicate()]), (other, [Shard(1)]), None]
    values = [eighths((5, 3), i) for i in range(len(kinds))]
    one = [torch.nn.Parameter(v.clone()) for v in values]
    many = [
        torch.nn.Parameter(v.clone() if kind is None else distribute_tensor(v, *kind))
        for v, kind in zip(values, kinds)
    ]
    return one, many


def what_is_known_of_all_is_known_of_mixed_parameters(folder):
    one, many = mixed(mesh(), mesh(names=("other",)))
    opts = [ours.SGD(params, lr=0.5, **TAIL) for params in (one, many)]
    for step in range(3):
        for params, opt in zip((one, many), opts):
            give_gradients(params, step)
            opt.step()
        assert opts[0].grad_norm == opts[1].grad_norm > 3.0
        for a, b in zip(opts[0].stats().values(), opts[1].stats().values()):
            assert_close(b, a, "sum in another order")
    assert_equal(many, one)
    for p, q in zip(one, many):
        assert torch.equal(whole(opts[1].ema[q]), opts[0].ema[p])
        assert opts[0].state[p].keys() == opts[1].state[q].keys()


def a_step_asks_the_others_once(folder):
    for tail, asked in (({}, 0), ({"clip_norm": 1.0}, 1), ({"skip_nonfinite": True}, 1), (TAIL, 1)):
        kinds = ([Shard(0)], mesh()), ([Shard(1)], mesh()), ([Replicate()], mesh()), ()
        params = [p for kind in kinds for p in tensors(*kind, shapes=((1, 3),))]
        opt = ours.SGD(params, lr=0.5, **tail)
        for step in range(2):
            give_gradients(params, step)
            with CommDebugMode() as heard:
                opt.step()
            assert heard.get_total_counts() == asked, (tail, heard.get_comm_counts())
    for look, asked in ((lambda: opt.grad_norm, 0), (lambda: opt.state, 0), (opt.stats, 1)):
        with CommDebugMode() as heard:
            look()
        assert heard.get_total_counts() == asked


def the_norm_is_torchs(folder):
    params = tensors([Shard(0)], mesh())
    give_gradients(params, 0)
    opt = ours.SGD(params, lr=0.5, clip_norm=1.0)
    opt.step()
    norm = clip_grad_norm_(params, 1.0).full_tensor()
    assert_close(opt.grad_norm, norm.item(), "few roundings in float32")


def a_rank_without_an_element_takes_part(folder):
    one, many = (tensors(*given, shapes=((1, 4),)) for given in ((), ([Shard(0)], mesh())))
    assert (many[0].to_local().numel() == 0) == (dist.get_rank() > 0)
    for params in (one, many):
        opt = ours.Adam(params, lr=0.5, **TAIL)
        for step in range(3):
            give_gradients(params, step)
            opt.step()
        norms = [torch.tensor(opt.grad_norm)] * dist.get_world_size()
    assert_equal(many, one)
    gathered = [torch.zeros(()) for _ in norms]
    dist.all_gather(gathered, norms[0])
    assert gathered == norms


def a_rank_without_gradients_takes_part(folder):
    params = tensors([Shard(0)], mesh(), shapes=((8, 2),))
    opt = ours.SGD(params, lr=0.5, **TAIL)
    give_gradients(params, 0)
    if dist.get_rank() > 0:
        params[0].grad = None
    opt.step()
    own = eighths((8, 2), 100)[: 8 // dist.get_world_size()]
    assert_close(opt.grad_norm, own.norm().item(), "seven digits")


def a_step_without_any_gradient_is_none(folder):
    params = tensors([Shard(0)], mesh())
    before = [p.to_local().clone() for p in params]
    opt = ours.Adam(params, lr=0.5, **TAIL)
    opt.step()
    assert opt.grad_norm == 0.0
    assert all(torch.equal(p.to_local(), kept) for p, kept in zip(params, before))


def an_infinity_on_one_rank_skips_the_step_on_all(folder):
    for bad in (torch.inf, torch.nan):
        params = tensors([Shard(0)], mesh())
        opt = ours.Adam(params, lr=0.5, skip_nonfinite=True)
        give_gradients(params, 0)
        opt.step()
        before = [p.to_local().clone() for p in params]
        give_gradients(params, 1)
        if dist.get_rank() == dist.get_world_size() - 1:
            params[0].grad.to_local()[0, 0] = bad
        opt.step()
        assert opt.skipped_steps == 1
        assert all(torch.equal(p.to_local(), kept) for p, kept in zip(params, before))
        assert [int(opt.state[p]["step"]) for p in params] == [1] * len(params)
        give_gradients(params, 2)
        opt.step()
        assert opt.skipped_steps == 1
        assert not torch.equal(params[0].to_local(), before[0])


def an_error_comes_on_all_ranks(folder):
    params = tensors([Shard(0)], mesh())
    opt = ours.Adam(params, lr=0.5, clip_norm=1.0, error_if_nonfinite=True)
    give_gradients(params, 0)
    if dist.get_rank() == 0:
        params[0].grad.to_local()[0, 0] = torch.inf
    assert "norm of all gradients is inf" in error_of(RuntimeError, opt.step)


def a_scaler_skips_the_step_on_all(folder):
    params = tensors([Shard(0)], mesh())
    before = [p.to_local().clone() for p in params]
    opt = ours.Adam(params, lr=0.5, clip_norm=1.0)
    give_gradients(params, 0)
    opt.found_inf = torch.tensor(float(dist.get_rank() == 0))
    opt.step()
    assert all(torch.equal(p.to_local(), kept) for p, kept in zip(params, before))
    opt.found_inf = torch.tensor(0.0)
    opt.step()
    assert not torch.equal(params[0].to_local(), before[0])


def torchs_scaler_finds_what_is_infinite_on_one_rank(folder):
    kinds = [(torch.optim.Adam, True), (ours.Adam, True), (ours.Adam, None)]
    models = [sharded(network()) for _ in kinds]
    for model, (kind, fused) in zip(models, kinds):
        opt = kind(model.parameters(), lr=0.05, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for step in range(4):
            scaler.scale(model(batch(step)).square().mean()).backward()
            if step == 2 and dist.get_rank() == 0:
                next(model.parameters()).grad._local_tensor[0, 0] = torch.inf
            scaler.step(opt)
            scaler.update()
            opt.zero_grad()
        assert int(opt.state[next(model.parameters())]["step"]) == 3
    for p, *mine in zip(*(model.parameters() for model in models)):
        for q in mine:
            assert_close(whole(q), whole(p), "ten trained steps")


def a_scaler_skips_the_step_on_all_whichever_is_sharded(folder):
    """torch's scaler asks the processes of the first gradient alone, which has no infinity here."""
    params = tensors([Replicate()], mesh()) + tensors([Shard(0)], mesh())
    before = [p.to_local().clone() for p in params]
    opt = ours.SGD(params, lr=0.5, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    give_gradients(params, 0)
    if dist.get_rank() == 0:
        params[-1].grad._local_tensor.fill_(torch.inf)
    scaler.step(opt)
    assert all(torch.equal(p.to_local(), kept) for p, kept in zip(params, before))


def averages_are_the_weights_for_a_while(folder):
    one, many = network(), sharded(network())
    results = []
    for model in (one, many):
        opt = ours.Adam(model.parameters(), lr=0.05, ema_decay=0.5)
        train(model, opt, 3)
        with torch.no_grad(), opt.ema_weights():
            averaged = model(batch(99))
            if model is many:
                model.reshard()  # the root keeps its weights for a backward pass
        with torch.no_grad():
            results += [averaged, model(batch(99))]
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])
    assert not torch.equal(results[0], results[1])


def gradients_are_zeroed_also_where_the_step_is_none(folder):
    params = tensors([Shard(0)], mesh())
    opt = ours.SGD(params, lr=0.5, skip_nonfinite=True, zero_grads=True)
    for bad in (False, True):
        give_gradients(params, 0)
        if bad and dist.get_rank() == 0:
            params[0].grad.to_local()[0, 0] = torch.nan
        opt.step()
        assert not any(p.grad.to_local().count_nonzero() for p in params)
    assert opt.skipped_steps == 1


def masters_are_sharded(folder):
    one, many = (tensors(*given, dtype=torch.bfloat16) for given in ((), ([Shard(0)], mesh())))
    for kind, name in ((True, "master"), ("split16", "param_remainder")):
        opts = [ours.AdamW(params, lr=1e-3, master_weights=kind) for params in (one, many)]
        for step in range(5):
            for params, opt in zip((one, many), opts):
                give_gradients(params, step)
                opt.step()
        assert_equal(many, one)
        for p, q in zip(one, many):
            mine, theirs = whole(opts[1].state[q][name]), opts[0].state[p][name]
            bits = torch.int32 if kind is True else torch.int16  # some are NaN, as bfloat16
            assert torch.equal(mine.view(bits), theirs.view(bits))


def rests_of_shards_round_by_bits_of_their_own(folder):
    value = torch.ones(64 * dist.get_world_size(), 4, dtype=torch.bfloat16)
    param = torch.nn.Parameter(distribute_tensor(value, mesh(), [Shard(0)]))
    param.grad = distribute_tensor(torch.full_like(value, 1 / 3), mesh(), [Shard(0)])
    opt = ours.SGD([param], lr=1e-2, master_weights="split8", seed=5)
    opt.step()
    own = opt.state[param]["param_remainder"].to_local().float()
    shards = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(shards, own)
    assert len(own.unique()) == 2
    assert not any(torch.equal(shards[0], shard) for shard in shards[1:])


def shards_round_by_bits_of_their_own_and_replicas_by_the_same(folder):
    value = torch.ones(64 * dist.get_world_size(), 4, dtype=torch.bfloat16)
    grad = torch.full_like(value, 1 / 3)
    for placement in (Shard(0), Replicate()):
        param = torch.nn.Parameter(distribute_tensor(value, mesh(), [placement]))
        param.grad = distribute_tensor(grad, mesh(), [placement])
        opt = ours.SGD([param], lr=1e-2, stochastic_rounding=True, seed=5)
        opt.step()
        own = param.to_local().float()
        shards = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(shards, own)
        assert len(own.unique()) == 2
        alike = [torch.equal(shards[0], shard) for shard in shards]
        assert all(alike[1:]) == (placement == Replicate()), placement
        seeds = [torch.zeros((), dtype=torch.float64) for _ in shards]
        dist.all_gather(seeds, opt.state[param]["rounding_seed"])
        assert len(set(map(float, seeds))) == 1
        saved, before = opt.state_dict(), param.to_local().clone()
        opt.step()
        after = param.to_local().clone()
        with torch.no_grad():
            param.to_local().copy_(before)
        again = ours.SGD([param], lr=1e-2, stochastic_rounding=True, seed=6)
        again.load_state_dict(saved)
        again.step()
        assert torch.equal(param.to_local(), after)


def codes_of_a_whole_tensor_are_taken_in_pieces(folder):
    """As values: the blocks of a shard are others. So a shard is saved as values, too."""
    options = {"lr": 0.5, "state_dtype": "8bit", "min_8bit_size": 0}
    matrices = ((7, 6), (2, 3), (64, 33))
    one, many = tensors(shapes=matrices), tensors([Shard(1)], mesh(), shapes=matrices)
    opts = [ours.Adam(params, **options) for params in (one, many)]
    give_gradients(one, 0)
    opts[0].step()
    saved = copy.deepcopy(opts[0].state_dict(decoded=False))
    assert saved["coded_state"][0]["exp_avg"].dtype is torch.int8
    opts[1].load_state_dict(saved)
    for p, q in zip(one, many):
        for name in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(whole(opts[1].state[q][name]), opts[0].state[p][name])
    give_gradients(many, 1)
    opts[1].step()
    again = opts[1].state_dict(decoded=False)
    assert "coded_state" not in again
    assert again["state"][0]["exp_avg"].dtype is torch.float32
    assert torch.equal(
        whole(again["state"][0]["exp_avg"]), whole(opts[1].state[many[0]]["exp_avg"])
    )


def a_whole_state_is_taken_in_pieces(folder):
    matrices = ((7, 6), (2, 3), (1, 4))
    one, many = tensors(shapes=matrices), tensors([Shard(1)], mesh(), shapes=matrices)
    opts = [ours.Adam(params, lr=0.5) for params in (one, many)]
    give_gradients(one, 0)
    opts[0].step()
    opts[1].load_state_dict(copy.deepcopy(opts[0].state_dict()))
    with torch.no_grad():
        for p, q in zip(one, many):
            q.copy_(distribute_tensor(p.detach(), q.device_mesh, q.placements))
    for params, opt in zip((one, many), opts):
        give_gradients(params, 1)
        opt.step()
    assert_equal(many, one)


def gradients_that_are_spread_otherwise_are_redistributed(folder):
    where, n = mesh(), dist.get_world_size()
    value, total = eighths((8, 4), 0), eighths((8, 4), 1)
    spreads = [(a, b) for a in (Shard(0), Replicate()) for b in (Shard(1), Replicate(), Partial())]
    one = [torch.nn.Parameter(value.clone()) for _ in spreads]
    many = [
        torch.nn.Parameter(distribute_tensor(p.detach().clone(), where, [own]))
        for p, (own, _) in zip(one, spreads)
    ]
    for p, q, (_, placement) in zip(one, many, spreads):
        p.grad = total.clone()
        part = total / n if placement == Partial() else total
        if placement == Shard(1):
            part = total.chunk(n, 1)[dist.get_rank()].contiguous()
        q.grad = DTensor.from_local(part.clone(), where, [placement], run_check=False)
    opts = [ours.SGD(params, lr=0.5, zero_grads=True, **TAIL) for params in (one, many)]
    for opt in opts:
        opt.step()
    assert opts[0].grad_norm == opts[1].grad_norm > 3.0
    assert_equal(many, one)
    assert not any(q.grad.to_local().count_nonzero() for q in many)
    assert all(q.grad.placements == (own,) for q, (_, own) in zip(many, spreads))


def gradients_that_do_not_lie_beside_their_parameters_are_refused(folder):
    where, other = mesh(), mesh(1, dist.get_world_size())
    param = torch.nn.Parameter(distribute_tensor(eighths((4, 4), 0), where, [Shard(0)]))
    before = param.to_local().clone()
    opt = ours.SGD([("w", param)], lr=0.5)
    param.grad = distribute_tensor(torch.ones(4, 4), other, [Replicate(), Shard(0)])
    assert "gradient of w: expected a DTensor on DeviceMesh(" in error_of(ValueError, opt.step)
    assert torch.equal(param.to_local(), before)
    summed = DTensor.from_local(torch.ones(4), where, [Partial()], run_check=False)
    opt = ours.SGD([torch.nn.Parameter(summed)], lr=0.5)
    expected = "expected a DTensor with Shard and Replicate placements, got (Partial"
    assert expected in error_of(ValueError, opt.step)


def a_shard_is_no_gradient_of_a_plain_parameter(folder):
    param = torch.nn.Parameter(torch.ones(4))
    param.grad = distribute_tensor(torch.ones(4), mesh(), [Shard(0)])
    opt = ours.SGD([("w", param)], lr=0.5)
    text = "gradient of w: expected a tensor with memory of its own, got a DTensor"
    assert text in error_of(TypeError, opt.step)
    text = "params[0]: expected a tensor with memory of its own, got a DTensor"
    assert text in error_of(TypeError, lambda: gpuopt.SGD([param.grad], lr=0.5))


def shards_may_be_replaced_between_steps(folder):
    param = tensors([Shard(0)], mesh(), shapes=((8, 2),))[0]
    opt = ours.Adam([param], lr=0.5)
    give_gradients([param], 0)
    opt.step()
    old = param._local_tensor
    kept, version = old.clone(), param._version
    param._local_tensor = old.clone()  # as FSDP2 does when a model is moved
    opt.step()
    assert torch.equal(old, kept)
    assert not torch.equal(param.to_local(), kept)
    assert int(opt.state[param]["step"]) == 2
    assert param._version > version  # autograd knows that a tensor it saved has changed


def steps_are_those_of_tables_on_a_device(folder):
    one, many = network(), sharded(network())
    for model in (one, many):
        opt = ours.AdamW(model.parameters(), lr=0.05, clip_norm=1e9, skip_nonfinite=True)
        with mock.patch.object(
            TorchMemory, "read", side_effect=AssertionError("it was waited for")
        ):
            train(model, opt, 5)
        assert opt._step_taken().backends == ("triton",)
    assert_equal(many.parameters(), one.parameters())


def a_rank_without_gradients_waits_for_nothing(folder):
    waits = AssertionError("the host waited")
    with mock.patch.object(TorchProcessGroups, "combine", side_effect=waits):
        a_rank_without_gradients_takes_part(folder)


CHECKS = [
    twenty_steps_are_those_of_one_process,
    twenty_steps_are_torchs_under_the_same_sharding,
    offloaded_shards_are_those_of_one_process,
    mixed_precision_is_torchs_under_the_same_sharding,
    every_optimizer_steps_shards_of_any_dimension,
    estimates_are_of_all_shards,
    a_step_in_the_backward_pass_is_that_of_one_process,
    gradients_accumulate_in_the_backward_pass_as_in_one_process,
    what_steps_in_the_backward_pass_is_saved_as_an_optimizer,
    frozen_and_missing_gradients_differ_among_processes,
    a_copy_and_a_group_added_later_know_all_processes,
    complex_parameters_are_sharded_too,
    what_is_known_of_all_is_known_of_mixed_parameters,
    a_step_asks_the_others_once,
    the_norm_is_torchs,
    a_rank_without_an_element_takes_part,
    a_rank_without_gradients_takes_part,
    a_step_without_any_gradient_is_none,
    an_infinity_on_one_rank_skips_the_step_on_all,
    an_error_comes_on_all_ranks,
    a_scaler_skips_the_step_on_all,
    torchs_scaler_finds_what_is_infinite_on_one_rank,
    a_scaler_skips_the_step_on_all_whichever_is_sharded,
    averages_are_the_weights_for_a_while,
    gradients_are_zeroed_also_where_the_step_is_none,
    masters_are_sharded,
    rests_of_shards_round_by_bits_of_their_own,
    codes_of_a_whole_tensor_are_taken_in_pieces,
    shards_round_by_bits_of_their_own_and_replicas_by_the_same,
    a_whole_state_is_taken_in_pieces,
    gradients_that_are_spread_otherwise_are_redistributed,
    gradients_that_do_not_lie_beside_their_parameters_are_refused,
    a_shard_is_no_gradient_of_a_plain_parameter,
    shards_may_be_replaced_between_steps,
]

COMPILED = [
    twenty_steps_are_those_of_one_process,
    what_is_known_of_all_is_known_of_mixed_parameters,
    a_rank_without_an_element_takes_part,
]

ON_A_DEVICE = [
    steps_are_those_of_tables_on_a_device,
    estimates_are_of_all_shards,
    a_rank_without_gradients_waits_for_nothing,
    what_is_known_of_all_is_known_of_mixed_parameters,
    plain_parameters_of_one_process_count_in_all,
    a_step_asks_the_others_once,
    the_norm_is_torchs,
    a_rank_without_an_element_takes_part,
    a_step_without_any_gradient_is_none,
    an_infinity_on_one_rank_skips_the_step_on_all,
    an_error_comes_on_all_ranks,
    a_scaler_skips_the_step_on_all,
]
