"""FSDP2 on two processes: a global norm, and a checkpoint that any number of processes can read.

```diff
-from torch.optim import AdamW
+from gpuopt.torch import AdamW
@@
-    optimizer = AdamW(model.parameters(), lr=1e-2)
+    optimizer = AdamW(model.parameters(), lr=1e-2, clip_norm=1.0)
@@
         loss.backward()
-        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
         optimizer.step()
```

Run by `torchrun --nproc-per-node 2 fsdp2.py`, or without torchrun, which starts two on the CPU.
"""

import os
import socket

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy

from gpuopt.torch import AdamW


def new(mesh):
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 128),
        torch.nn.GELU(),
        torch.nn.Linear(128, 10),
    ).to(mesh.device_type)
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = AdamW(model.parameters(), lr=1e-2, clip_norm=1.0)
    return model, optimizer


def train(model, optimizer, batches):
    for x, y in batches:
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    mean = loss.detach() / dist.get_world_size()
    dist.all_reduce(mean)
    return mean.item()


def main():
    device = "cuda" if torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"]) else "cpu"
    mesh = init_device_mesh(device, (int(os.environ["WORLD_SIZE"]),))
    rank = dist.get_rank()

    torch.manual_seed(0)
    x = torch.randn(100, 128, 32, device=device)
    y = (x @ torch.randn(32, 10, device=device)).argmax(dim=-1)
    own = [part.chunk(mesh.size(), dim=1)[rank] for part in (x, y)]  # of each batch
    batches = list(zip(*own))

    model, optimizer = new(mesh)
    losses = [train(model, optimizer, batches[:10]), train(model, optimizer, batches[10:50])]
    states = get_state_dict(model, optimizer)
    dcp.save({"model": states[0], "optimizer": states[1]}, checkpoint_id="fsdp2_checkpoint")
    losses.append(train(model, optimizer, batches[50:]))

    other, resumed = new(mesh)
    states = get_state_dict(other, resumed)
    loaded = {"model": states[0], "optimizer": states[1]}
    dcp.load(loaded, checkpoint_id="fsdp2_checkpoint")
    set_state_dict(
        other, resumed, model_state_dict=loaded["model"], optim_state_dict=loaded["optimizer"]
    )
    train(other, resumed, batches[50:])

    pairs = zip(model.parameters(), other.parameters())
    same = all(torch.equal(p.full_tensor(), q.full_tensor()) for p, q in pairs)
    if rank == 0:
        print(f"{mesh.size()} processes, {device}: loss", *(f"{loss:.3f}" for loss in losses))
        print(f"resumed with the same bits: {same}")
    dist.destroy_process_group()


def start(rank, port):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    main()


if __name__ == "__main__":
    if "RANK" in os.environ:
        main()
    else:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(start, (port,), nprocs=2)
