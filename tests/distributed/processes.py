"""Real processes: each runs lists of checks as one rank of a gloo group on the CPU.

One process imports everything, which takes seconds, and forks the ranks.
"""

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

LIMIT = 300
"""Seconds that all processes of a group have together, on a machine that does much else."""


def run(lists, world, folder, backend="numpy", limit=LIMIT, expected=None, **environment):
    """Run lists of checks in ``world`` processes, and fail with what any of them says.

    Args:
        lists: names with a space between: of a module of this package, whose ``CHECKS`` are
            called in their order, each with the folder; behind a colon the name of another list.
        world: how many processes.
        folder: for their files; the same for all.
        backend: what GPUOPT_BACKEND names.
        limit: seconds.
        expected: the exit status of each rank; 0 for all, if None.
        environment: more of it.
    """
    own = folder / f"{world}-{time.monotonic_ns()}"
    own.mkdir()
    settings = {"OMP_NUM_THREADS": "1", "GPUOPT_NUM_THREADS": "1", "GPUOPT_BACKEND": backend}
    expected = expected or [0] * world
    command = [sys.executable, "-m", "tests.distributed.processes"]
    command += [json.dumps([lists.split(), world, str(own), str(folder), expected])]
    with (own / "launcher.log").open("w") as log:
        launcher = subprocess.Popen(
            command,
            env={**os.environ, **settings, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            launcher.wait(limit)
        except subprocess.TimeoutExpired:
            print(f"{lists}: not done after {limit} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
    status = own / "status"
    codes = json.loads(status.read_text()) if status.exists() else None
    told = "\n".join(f"--- {f.stem}\n{f.read_text()[-6000:]}" for f in sorted(own.glob("*.log")))
    assert codes == expected, f"{lists}: {codes}\n{told}"


def launch(lists, world, own, folder, expected):
    """Import what the ranks need, fork them, and write what they end with."""
    checks = [check for name in lists for check in _listed(name)]
    fork = multiprocessing.get_context("fork")
    given = checks, world, Path(own), Path(folder)
    ranks = [fork.Process(target=be_a_rank, args=(rank, *given)) for rank in range(world)]
    for process in ranks:
        process.start()
    Path(own, "status").write_text(json.dumps(_wait(ranks, expected)))


def _listed(name):
    module, _, listed = name.partition(":")
    return getattr(importlib.import_module(f"tests.distributed.{module}"), listed or "CHECKS")


def _wait(ranks, expected):
    """Return the exit statuses; None for a process that a failure of another left behind."""
    failed_at = None
    while True:
        codes = [process.exitcode for process in ranks]
        if None not in codes:
            return codes
        failed = any(c is not None and c != e for c, e in zip(codes, expected))
        failed_at = failed_at or (time.monotonic() if failed else None)
        if failed_at and time.monotonic() > failed_at + 5:  # the others may say more until then
            return codes
        time.sleep(0.05)


def be_a_rank(rank, checks, world, own, folder):
    """Be one rank."""
    import torch
    import torch.distributed as dist

    log = os.open(own / f"rank{rank}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    store, limit = f"file://{own}/store", timedelta(seconds=120)
    dist.init_process_group("gloo", store, rank=rank, world_size=world, timeout=limit)
    for check in checks:
        begin = time.monotonic()
        try:
            check(folder)
        except Exception:  # the other ranks may wait for this one for ever
            print(f"{check.__name__} failed")
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        print(f"{check.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    launch(*json.loads(sys.argv[1]))
