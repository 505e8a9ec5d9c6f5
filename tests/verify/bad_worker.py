"""A worker in which some checks go wrong."""

import ctypes
import os
import sys
import time

from gpuopt.engine.dispatch import forced
from gpuopt.optimizers.base import Optimizer
from gpuopt.verify import libraries, plan, values, worker
from gpuopt.verify.devices import DEVICES
from tests.verify.conftest import SIZES


def command(faults, targets=(("llvm", "numpy"),), without=()):
    """Return the command of a worker.

    Args:
        faults: by name of a rule, what happens in its checks: a key of `FAULTS`.
        targets: in place of `gpuopt.verify.checks.TARGETS`.
        without: libraries that cannot be imported.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; sys.modules.update({dict.fromkeys(without)!r})"
    code += f"; from tests.verify import bad_worker; bad_worker.main({faults!r}, {targets!r})"
    return sys.executable, "-c", code


def plain(found):
    """The results of the checks of rules without options, by rule."""
    own = {"kind": "rule", "tail": "", "layout": ""}
    checks = [check for check in found["checks"] if own.items() <= check["check"].items()]
    return {check["check"]["subject"]: check for check in checks}


def main(faults, targets):
    """Answer requests."""
    values.SIZES, plan.TARGETS = SIZES, targets
    step = Optimizer.step

    def faulty(self, grads, **options):
        step(self, grads, **options)
        if forced()[0] != "numpy" and self.rule in faults:
            FAULTS[faults[self.rule]](self)

    Optimizer.step = faulty
    worker.main()


def _flip(optimizer):
    """One bit of one element."""
    optimizer._fused.params[3].view("u4")[5] ^= 1


def _raise(optimizer):
    raise ValueError("no such luck")


def _access_what_is_not_there(optimizer):
    """A hard error of a GPU."""
    import torch

    print(torch.zeros(4, device="cuda")[torch.tensor([1 << 20], device="cuda")])


def _break_the_device(optimizer):
    """As a kernel does that accesses what is not its own: nothing works from there on."""

    class Broken:
        def synchronize(self):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    DEVICES["numpy"] = Broken()
    libraries.device_of = worker.device_of = lambda backend: "cuda:0"
    Broken().synchronize()


FAULTS = {
    "bit": _flip,
    "raise": _raise,
    "device": _break_the_device,
    "access": _access_what_is_not_there,
    "exit": lambda optimizer: os._exit(7),
    "segfault": lambda optimizer: ctypes.string_at(0),
    "hang": lambda optimizer: time.sleep(600),
}
