"""Signals and failures in mid-step: a step is whole, or has not been."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.host_launch import HostLaunch
from gpuopt.engine.interrupts import DeferredSignals
from gpuopt.engine.locks import StepLock
from gpuopt.engine.numpy_launch import NumpyLaunch
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.optimizers import arrays, everything, gradients, make
from tests.helpers.scripts import run_script

LONG = "GPUOPT_LONG_FAULTS" in os.environ
SHAPES = ((3, 5), (), (17,))

unix = pytest.mark.skipif(os.name != "posix", reason="signals of other processes")

STORM = """
import os, random, signal, sys, threading, time
import numpy as np
import gpuopt

gpuopt.use_backend("{backend}")
count, size = {count}, {size}
shapes = [size, 10, 33]
grads = [[np.random.default_rng(k).standard_normal(n).astype(np.float32) for n in shapes]
         for k in range(4)]
params, twins = ([np.ones(n, np.float32) for n in shapes] for _ in range(2))
make = lambda arrays: gpuopt.NAdam(arrays, lr=0.25, clip_norm=1.0, ema_decay=0.5)
opt, twin = make(params), make(twins)
for one in (opt, twin):
    one.step(grads[0])
sent, caught, looked, begun, over = 0, 0, 0, False, False

def send():
    global sent
    pause = random.Random(0)
    while not over:
        time.sleep(pause.random() * 2e-3)
        if not begun:
            continue
        sent += 1
        os.kill(os.getpid(), random.choice([signal.SIGINT, signal.SIGUSR1]))

def look(number, frame):
    global looked
    counts = {{held["step"] for held in opt.state.values()}}
    assert len(counts) == 1, counts
    looked += 1

signal.signal(signal.SIGUSR1, look)
threading.Thread(target=send, daemon=True).start()
while caught < count:
    try:
        begun = True
        while True:
            opt.step(grads[opt.state[0]["step"] % 4])
    except KeyboardInterrupt:
        caught += 1
    while True:  # this may be interrupted, too: then again
        try:
            while twin.state[0]["step"] < opt.state[0]["step"]:
                twin.step(grads[twin.state[0]["step"] % 4])
            for key in opt.state:
                for name, value in opt.state[key].items():
                    assert np.array_equal(value, twin.state[key][name]), (caught, key, name)
            assert all(map(np.array_equal, params, twins)), caught
            break
        except KeyboardInterrupt:
            caught += 1
begun, over = False, True
print(caught, looked)
"""


@unix
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_interrupted_steps_are_whole(backend):
    """They hung, or left some tensors updated and others not."""
    count = 10_000 if LONG else 100
    code = STORM.format(backend=backend, count=count, size=70_000)
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    caught, looked = map(int, run(code, 60 + count / 20).split())
    assert caught >= count and looked > 0


DROP_IN = """
import os, random, signal, threading, time
import torch
import gpuopt.torch as ours

torch.set_num_threads(1)
count, shapes = {count}, [70_000, 10, 33]
grads = [[torch.randn(n, generator=torch.Generator().manual_seed(k)) for n in shapes]
         for k in range(4)]
params, twins = ([torch.ones(n) for n in shapes] for _ in range(2))
make = lambda tensors: ours.NAdam(tensors, lr=0.25, clip_norm=1.0, ema_decay=0.5)
opt, twin = make(params), make(twins)

def step(one, own, k):
    for p, g in zip(own, grads[k % 4]):
        p.grad = g
    one.step()

def taken(one, own):
    return int(one.state[own[0]]["step"]) if own[0] in one.state else 0

for one, own in ((opt, params), (twin, twins)):
    step(one, own, 0)
caught, begun, over = 0, False, False

def send():
    pause = random.Random(0)
    while not over:
        time.sleep(pause.random() * 2e-3)
        if begun:
            os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=send, daemon=True).start()
while caught < count:
    try:
        begun = True
        while True:
            step(opt, params, taken(opt, params))
    except KeyboardInterrupt:
        caught += 1
    while True:
        try:
            while taken(twin, twins) < taken(opt, params):
                step(twin, twins, taken(twin, twins))
            for p, q in zip(params, twins):
                assert opt.state[p].keys() == twin.state[q].keys()
                for name, value in opt.state[p].items():
                    assert torch.equal(value, twin.state[q][name]), (caught, name)
            assert all(map(torch.equal, params, twins)), caught
            break
        except KeyboardInterrupt:
            caught += 1
begun, over = False, True
print(caught, 1)
"""

FORK = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import gpuopt, gpuopt.torch, torch

gpuopt.use_backend("{backend}")
w, p = np.ones(400_000, np.float32), torch.ones(400_000)
p.grad = torch.ones_like(p)
opts = [(gpuopt.Adam([w]), [np.ones_like(w)]), (gpuopt.torch.Adam([p]), None)]
for opt, g in opts:
    opt.step(*([g] if g else []))
over = False

def work():
    while not over:
        for opt, g in opts:
            opt.step(*([g] if g else []))

worker = threading.Thread(target=work)
worker.start()
for _ in range({count}):
    time.sleep(0.003)
    child = os.fork()
    if child == 0:
        for opt, g in opts:
            opt.step(*([g] if g else []))
        os._exit(0)
    end = time.monotonic() + 20
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        assert time.monotonic() < end, "the child hangs"
        time.sleep(0.001)
    assert status == 0, status
over = True
worker.join()
"""


def run(code, timeout):
    """Run a script on two threads."""
    return run_script(code, timeout=timeout, quiet=False, GPUOPT_NUM_THREADS="2")


@unix
def test_interrupted_steps_of_a_drop_in_are_whole():
    pytest.importorskip("torch")
    pytest.importorskip("llvmlite")
    count = 10_000 if LONG else 100
    assert int(run(DROP_IN.format(count=count), 60 + count / 20).split()[0]) >= count


@unix
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_child_forked_in_mid_step_can_step(backend):
    """Not from the memory that the step was changing, but without waiting for its threads."""
    pytest.importorskip("torch")
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    run(FORK.format(backend=backend, count=200 if LONG else 6), 120)


EXIT = """
import os, signal, sys, threading
import numpy as np
import gpuopt

w, g = [np.ones(1_000_000, np.float32)], [np.ones(1_000_000, np.float32)]
opt = gpuopt.Adam(w)
opt.step(g)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
try:
    while True:
        opt.step(g)
except SystemExit as exit:
    one = [np.ones(1, np.float32)]
    twin = gpuopt.Adam(one)
    for _ in range(opt.state[0]["step"]):
        twin.step([np.ones(1, np.float32)])
    assert (w[0] == one[0]).all()
    print(exit.code)
"""


@unix
def test_an_exit_in_mid_step():
    assert run(EXIT, 60) == "3\n"


def test_handlers_run_after_the_step_and_raise_from_it():
    ran = []

    def handler(number, frame):
        ran.append(opt.state[0]["step"])
        raise InterruptedError("now")

    opt = gpuopt.Adam(arrays(0, SHAPES))
    opt.step(gradients(0, SHAPES))
    before = signal.signal(signal.SIGTERM, handler)
    real, called = opt._fused._launch, []

    def launch(*args):
        signal.raise_signal(signal.SIGTERM)
        called.append(list(ran))
        real(*args)

    opt._fused._launch = launch
    try:
        with pytest.raises(InterruptedError, match="now"):
            opt.step(gradients(1, SHAPES))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (called, ran) == ([[]], [2])


def test_a_handler_that_raises_keeps_no_other_thread_waiting():
    lock, entered = StepLock(), []

    def handler(number, frame):
        raise InterruptedError("now")

    def enter():
        with lock:
            entered.append(True)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(InterruptedError, match="now"), lock:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(10)
    assert entered == [True]


def test_signals_of_the_system_stay_as_they_are():
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with DeferredSignals():
        assert signal.getsignal(signal.SIGINT) is not before[signal.SIGINT]
        changed = [n for n in before if signal.getsignal(n) != before[n]]
        assert all(callable(before[n]) for n in changed)
    assert {number: signal.getsignal(number) for number in before} == before


def test_other_threads_have_no_signals_to_defer():
    before, seen = signal.getsignal(signal.SIGINT), []

    def look():
        with DeferredSignals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_refused_number_of_threads_changes_nothing(monkeypatch, name):
    """NAdam's mu_product had moved on."""
    pytest.importorskip("llvmlite")
    params, twins = arrays(0, SHAPES), arrays(0, SHAPES)
    with gpuopt.use_backend("llvm"):
        opt, twin = make(name, params), make(name, twins)
        for one in (opt, twin):
            one.step(gradients(0, SHAPES))
        monkeypatch.setenv("GPUOPT_NUM_THREADS", "abc")
        with pytest.raises(ValueError, match="GPUOPT_NUM_THREADS: expected a positive integer"):
            opt.step(gradients(1, SHAPES))
        monkeypatch.delenv("GPUOPT_NUM_THREADS")
        assert everything(opt, params) == everything(twin, twins)
        for one in (opt, twin):
            one.step(gradients(1, SHAPES))
    assert everything(opt, params) == everything(twin, twins)


class InjectedError(Exception):
    pass


class Injector:
    """Makes one call fail: of Python functions of gpuopt, until the first launch runs."""

    RUN = (HostLaunch.run.__code__, NumpyLaunch.run.__code__)

    def __init__(self, at):
        self.left, self.hit = at, False

    def __call__(self, frame, event, argument):
        if frame.f_code in self.RUN:
            sys.setprofile(None)
        elif event == "call" and "gpuopt" in frame.f_globals.get("__name__", ""):
            if self.left == 0:
                self.hit = True
                raise InjectedError
            self.left -= 1


TAILS = [
    {},
    {"clip_norm": 0.5, "ema_decay": 0.5, "stats": True},
    {"skip_nonfinite": True, "clip_value": 0.5, "zero_grads": True},
]


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: "-".join(tail) or "none")
@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_whatever_fails_before_the_update_changes_nothing(backend, name, tail):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    with gpuopt.use_backend(backend):
        inject_everywhere(name, tail)


def inject_everywhere(name, tail):
    params, twins = arrays(0, SHAPES), arrays(0, SHAPES)
    opt, twin = make(name, params, **tail), make(name, twins, **tail)
    for step in range(2):
        opt.step(gradients(step, SHAPES))
        twin.step(gradients(step, SHAPES))
    at, stride = 0, 1 if LONG else 11
    while True:
        injector = Injector(at)
        g = gradients(2, SHAPES)
        sys.setprofile(injector)
        try:
            opt.step(g)
        except InjectedError:
            pass
        finally:
            sys.setprofile(None)
        if not injector.hit:
            break
        assert everything(opt, params) == everything(twin, twins), at
        assert all(map(np.array_equal, g, gradients(2, SHAPES))), at
        at += stride
    assert at > 10
    twin.step(gradients(2, SHAPES))
    assert everything(opt, params) == everything(twin, twins)


def test_steps_are_counted_to_the_end_and_no_further():
    opt = gpuopt.Adam(arrays(0, SHAPES))
    opt.step(gradients(0, SHAPES))
    saved = opt.state_dict()
    for held in saved["state"].values():
        held["step"] = 2**63 - 2
    opt.load_state_dict(saved)
    opt.step(gradients(0, SHAPES))
    assert opt.state[0]["step"] == 2**63 - 1
    before = [p.copy() for p in opt._fused.params]
    with pytest.raises(OverflowError, match=f"a parameter has had {2**63 - 1} updates"):
        opt.step(gradients(0, SHAPES))
    assert all(map(np.array_equal, before, opt._fused.params))
