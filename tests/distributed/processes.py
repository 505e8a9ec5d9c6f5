"""Real processes: each runs the checks of a module as one rank of a gloo group on the CPU."""

import importlib
import os
import subprocess
import sys
import time
import traceback
from datetime import timedelta

LIMIT = 150
"""Seconds that all processes of a group have together."""


def run(module, world, folder, backend="numba", limit=LIMIT, expected=None, **environment):
    """Run a module's checks in ``world`` processes, and fail with what any of them says.

    Args:
        module: a module of this package, whose ``CHECKS`` are called in their order, each with the
            folder; behind a colon the name of another list of it.
        world: how many processes.
        folder: for their files; the same for all.
        backend: what GPUOPT_BACKEND names.
        limit: seconds.
        expected: the exit status of each rank; 0 for all, if None.
        environment: more of it.
    """
    own = folder / f"{module}-{world}-{time.monotonic_ns()}"
    own.mkdir()
    settings = {**os.environ, "GPUOPT_BACKEND": backend, "OMP_NUM_THREADS": "1", **environment}
    settings["GPUOPT_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "tests.distributed.processes", module]
    ranks = []
    try:
        for rank in range(world):
            with (own / f"rank{rank}.log").open("w") as log:
                arguments = [*command, *map(str, (rank, world, own, folder))]
                ranks.append(subprocess.Popen(arguments, env=settings, stdout=log, stderr=log))
        codes = _wait(ranks, limit, expected or [0] * world)
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    logs = [(own / f"rank{rank}.log").read_text() for rank in range(world)]
    told = "\n".join(
        f"--- rank {r}: {c}\n{text[-6000:]}" for r, (c, text) in enumerate(zip(codes, logs))
    )
    assert codes == (expected or [0] * world), told


def _wait(ranks, limit, expected):
    """Return the exit statuses; None for a process that did not end in time or was left behind."""
    end = time.monotonic() + limit
    failed_at = None
    while time.monotonic() < end:
        codes = [process.poll() for process in ranks]
        if None not in codes:
            return codes
        failed = any(c is not None and c != e for c, e in zip(codes, expected))
        failed_at = failed_at or (time.monotonic() if failed else None)
        if failed_at and time.monotonic() > failed_at + 5:  # the others may say more until then
            return codes
        time.sleep(0.05)
    return [process.poll() for process in ranks]


def main(module, rank, world, own, folder):
    """Be one rank."""
    from pathlib import Path

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    name, _, listed = module.partition(":")
    checks = getattr(importlib.import_module(f"tests.distributed.{name}"), listed or "CHECKS")
    store = f"file://{own}/store"
    limit = timedelta(seconds=60)
    dist.init_process_group("gloo", store, rank=int(rank), world_size=int(world), timeout=limit)
    for check in checks:
        begin = time.monotonic()
        try:
            check(Path(folder))
        except Exception:  # the other ranks may wait for this one for ever
            print(f"{check.__name__} failed")
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        print(f"{check.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
