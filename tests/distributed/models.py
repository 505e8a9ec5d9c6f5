"""Models and gradients that are the same in every process, sharded and whole.

Gradients are multiples of 1/8, so sums of their squares are exact in any order; where processes
share data, so are their means.
"""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_tensor

SHAPES = ((7, 6), (5,), (2, 3), (1, 4), (16, 2))
"""Even, uneven, and fewer rows than processes."""


def mesh(*sizes, names=None):
    """A mesh of all processes; one dimension, unless sizes are given."""
    sizes = sizes or (dist.get_world_size(),)
    return init_device_mesh("cpu", sizes, mesh_dim_names=names or ("dp", "tp")[: len(sizes)])


def network(dtype=torch.float32):
    """A small network with uneven layers."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3), torch.nn.Linear(3, 1)]
    return torch.nn.Sequential(*layers).to(dtype)


def sharded(model, where=None, **policy):
    """The model under FSDP2: each layer its own unit, with a root around them."""
    where = where or mesh()
    for layer in model:
        if list(layer.parameters()):
            fully_shard(layer, mesh=where, **policy)
    return fully_shard(model, mesh=where, **policy)


def batch(step, dtype=torch.float32):
    """The inputs of a step, the same in all processes."""
    return torch.randn(8, 7, generator=torch.Generator().manual_seed(step), dtype=dtype)


def train(model, optimizer, steps, first=0, between=None):
    """Take steps; ``between`` is called with the parameters before each."""
    dtype = next(model.parameters()).dtype
    for step in range(first, first + steps):
        model(batch(step, dtype)).square().mean().backward()
        if between:
            between(model.parameters())
        optimizer.step()
        optimizer.zero_grad()


def eighths(shape, seed, dtype=torch.float32):
    """Numbers that are multiples of 1/8, at most 2."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(-16, 17, shape, generator=generator) / 8).to(dtype)


def tensors(placements=None, where=None, dtype=torch.float32, shapes=SHAPES):
    """Parameters: whole ones, or DTensors of these placements."""
    values = [eighths(shape, i, dtype) for i, shape in enumerate(shapes)]
    if placements is None:
        return [torch.nn.Parameter(v) for v in values]
    return [torch.nn.Parameter(distribute_tensor(v, where, placements)) for v in values]


def give_gradients(params, step):
    """Set the gradients of a step, each spread as its parameter is."""
    for i, p in enumerate(params):
        whole = eighths(p.shape, 1000 * step + i + 100, p.dtype)
        spread = hasattr(p, "placements")
        p.grad = distribute_tensor(whole, p.device_mesh, p.placements) if spread else whole


def whole(tensor):
    """All of a tensor."""
    tensor = tensor.detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def assert_equal(ours, theirs):
    """Fail unless two lists of tensors are the same, bit for bit, once whole."""
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(whole(mine), whole(other)), (i, whole(mine), whole(other))


def error_of(kind, work):
    """Return what an error says that some work has to end in."""
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError("nothing was raised")
