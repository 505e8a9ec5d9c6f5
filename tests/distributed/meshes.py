"""Four processes in two dimensions: FSDP2 over tensor parallelism, and over replicas."""

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.nn.utils import clip_grad_norm_

import gpuopt.torch as ours
from tests.distributed.models import (
    assert_equal,
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
from tests.tolerances import assert_close


def _parallel(with_fsdp):
    """A network whose first layers are split by columns and by rows, over two processes each."""
    where = mesh(2, 2)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(7, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3), torch.nn.Linear(3, 1)]
    model = torch.nn.Sequential(*layers).double()
    parallelize_module(model, where["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    if with_fsdp:
        for layer in (model[0], model[2], model[3]):
            fully_shard(layer, mesh=where["dp"])
        fully_shard(model, mesh=where["dp"])
    return model


def tensor_parallel_layers_are_trained_as_torch_trains_them(folder):
    for with_fsdp in (False, True):
        mine, other = _parallel(with_fsdp), _parallel(with_fsdp)
        train(mine, ours.AdamW(mine.parameters(), lr=0.01), 20)
        train(other, torch.optim.AdamW(other.parameters(), lr=0.01), 20)
        for p, q in zip(mine.parameters(), other.parameters()):
            assert_close(whole(p), whole(q), "twenty trained steps float64")


class _Sequence(torch.nn.Module):
    """A network over tokens, whose norms get each process's part of the tokens."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(10, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.last = torch.nn.Linear(6, 4)

    def forward(self, tokens):
        return self.last(self.norm(self.words(tokens)))


def _sequence_parallel():
    plan = {
        "words": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "norm": SequenceParallel(),
        "last": ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate()),
    }
    return parallelize_module(_Sequence().double(), mesh(2, 2)["tp"], plan)


def a_step_asks_once_for_each_dimension(folder):
    """Of the split layers for both dimensions; of the last, which only FSDP2 cuts, for one."""
    model = _parallel(with_fsdp=True)
    opt = ours.AdamW(model.parameters(), lr=0.01, clip_norm=1.0, skip_nonfinite=True)
    for _ in range(2):
        model(torch.ones(2, 7, dtype=torch.double)).sum().backward()
        with CommDebugMode() as heard:
            opt.step()
        assert heard.get_total_counts() == 3, heard.get_comm_counts()


def sequence_parallel_norms_are_trained_as_torch_trains_them(folder):
    mine, other = _sequence_parallel(), _sequence_parallel()
    opts = [ours.AdamW(mine.parameters(), lr=0.01), torch.optim.AdamW(other.parameters(), lr=0.01)]
    for step in range(5):
        tokens = torch.randint(10, (2, 4), generator=torch.Generator().manual_seed(step))
        for model, opt in zip((mine, other), opts):
            model(tokens).square().mean().backward()
            opt.step()
            opt.zero_grad()
    for p, q in zip(mine.parameters(), other.parameters()):
        assert_close(whole(p), whole(q), "twenty trained steps float64")


def replicas_of_shards_are_trained_as_one_process(folder):
    one, many = network(), sharded(network(), mesh(2, 2, names=("replicas", "shards")))
    for model in (one, many):
        opt = ours.Adam(model.parameters(), lr=0.05, skip_nonfinite=True)
        train(model, opt, 20)
    assert_equal(many.parameters(), one.parameters())


def every_spread_over_two_dimensions_counts_once(folder):
    where, other = mesh(2, 2), mesh(2, 2)
    alone = mesh(4, names=("all",))
    kinds = [
        ([Shard(0), Shard(0)], where),
        ([Shard(1), Shard(0)], where),
        ([Replicate(), Shard(0)], where),
        ([Shard(1), Replicate()], other),
        ([Replicate(), Replicate()], other),
        ([Shard(0)], alone),
        ([Shard(0)], where["tp"]),
        ([Shard(1)], where["dp"]),
        (),
    ]
    shapes = ((7, 6), (1, 3), (5, 5))
    one = [p for _ in kinds for p in tensors(shapes=shapes)]
    many = [p for kind in kinds for p in tensors(*kind, shapes=shapes)]
    opts = [ours.SGD(params, lr=0.5, clip_norm=3.0, stats=True) for params in (one, many)]
    for step in range(2):
        for params, opt in zip((one, many), opts):
            give_gradients(params, step)
            opt.step()
        assert opts[0].grad_norm == opts[1].grad_norm > 3.0
        for a, b in zip(opts[0].stats().values(), opts[1].stats().values()):
            assert_close(b, a, "sum in another order")
    assert_equal(many, one)


def the_norm_is_torchs_over_two_dimensions(folder):
    params = tensors([Shard(1), Shard(0)], mesh(2, 2), shapes=((7, 6), (1, 3), (5, 5)))
    give_gradients(params, 0)
    opt = ours.SGD(params, lr=0.5, clip_norm=1.0)
    opt.step()
    norm = clip_grad_norm_(params, 1.0).full_tensor()
    assert_close(opt.grad_norm, norm.item(), "few roundings in float32")


def a_mesh_without_this_process_is_stepped_by_the_others(folder):
    value, grad = eighths((5, 3), 1), eighths((5, 3), 2)
    halves = [DeviceMesh("cpu", [0, 1]), DeviceMesh("cpu", [2, 3])]
    one = torch.nn.Parameter(value.clone())
    many = [torch.nn.Parameter(distribute_tensor(value, half, [Shard(0)])) for half in halves]
    one.grad = grad
    for p in many:
        p.grad = distribute_tensor(grad, p.device_mesh, [Shard(0)])
    for params in ([one], many):
        opt = ours.Adam(params, lr=0.5)
        opt.step()
        opt.state  # noqa: B018 - lends the states, which the next step then looks at
        opt.step()
    here = next(p for p in many if p.device_mesh.get_coordinate() is not None)
    assert_equal([here], [one])
    told = error_of(ValueError, ours.SGD(many, lr=0.5, clip_norm=1.0).step)
    assert "clip_norm" in told and "without this process" in told
    assert_equal([here], [one])


CHECKS = [
    tensor_parallel_layers_are_trained_as_torch_trains_them,
    a_step_asks_once_for_each_dimension,
    sequence_parallel_norms_are_trained_as_torch_trains_them,
    a_mesh_without_this_process_is_stepped_by_the_others,
    replicas_of_shards_are_trained_as_one_process,
    every_spread_over_two_dimensions_counts_once,
    the_norm_is_torchs_over_two_dimensions,
]
