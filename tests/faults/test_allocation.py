"""Memory and stack that run out: a step changes nothing, and the next one is right."""

import os
import subprocess
import sys
from multiprocessing import shared_memory

import numpy as np
import pytest

import gpuopt
from gpuopt.engine import states
from tests.helpers.optimizers import arrays, everything, gradients, make
from tests.helpers.scripts import run_script

SHAPES = ((3, 5), (), (17,))


@pytest.mark.parametrize("failing", range(9))
def test_the_state_that_cannot_be_allocated(monkeypatch, failing):
    """Of three arrays: two states each, and an average."""
    params, twins = arrays(0, SHAPES), arrays(0, SHAPES)
    opt, twin = (make("Adam", own, ema_decay=0.5, clip_norm=1.0) for own in (params, twins))
    made = []

    def counted(real):
        def allocate(*args):
            made.append(args)
            if len(made) == failing + 1:
                raise MemoryError
            return real(*args)

        return allocate

    with monkeypatch.context() as patched:
        patched.setattr(states, "zeros_like", counted(states.zeros_like))
        patched.setattr(states, "copy_as", counted(states.copy_as))
        with pytest.raises(MemoryError):
            opt.step(gradients(0, SHAPES))
    assert everything(opt, params) == everything(twin, twins)
    for one in (opt, twin):
        one.step(gradients(0, SHAPES))
    assert everything(opt, params) == everything(twin, twins)


LIMITED = """
import resource
import numpy as np
import gpuopt

gpuopt.use_backend("numpy")
size = 2_000_000
params, twins = ([np.ones(size, np.float32) for _ in range(8)] for _ in range(2))
grads = [np.full(size, 0.5, np.float32) for _ in range(8)]
opt, twin = gpuopt.Adam(params), gpuopt.Adam(twins)
twin.step(grads)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000, hard))
try:
    opt.step(grads)
except MemoryError:
    print("refused")
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
assert all((p == 1.0).all() for p in params) and not opt.state
opt.step(grads)
assert all(map(np.array_equal, params, twins))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_limit_of_the_system():
    assert run_script(LIMITED) == "refused\n"


@pytest.mark.parametrize("tail", [{}, {"clip_norm": 1.0, "ema_decay": 0.5, "stats": True}])
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_stack_that_is_too_deep_for_a_step(backend, tail):
    """Whatever is left of it: nothing has changed, or all has."""
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    with gpuopt.use_backend(backend):
        step_at_every_depth(tail)


def step_at_every_depth(tail):
    params, twins = arrays(0, SHAPES), arrays(0, SHAPES)
    opt, twin = make("NAdam", params, **tail), make("NAdam", twins, **tail)
    for one in (opt, twin):
        one.step(gradients(0, SHAPES))

    def deeper(levels):
        return deeper(levels - 1) if levels else opt.step(gradients(1, SHAPES))

    refused = 0
    for left in range(4, 124):
        before = everything(opt, params)
        try:
            deeper(sys.getrecursionlimit() - _depth() - left)
        except RecursionError:
            refused += 1
            assert everything(opt, params) == before, left
        else:
            twin.step(gradients(1, SHAPES))
            assert everything(opt, params) == everything(twin, twins), left
    assert 0 < refused < 120


def _depth():
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


STARTED = """
import multiprocessing
import sys
import numpy as np

def work(queue):
    import gpuopt
    w = np.ones(400_000, np.float32)
    opt = gpuopt.Adam([w])
    opt.step([np.ones_like(w)])
    queue.put(float(w[0]))

if __name__ == "__main__":
    import gpuopt
    w = np.ones(400_000, np.float32)
    gpuopt.Adam([w]).step([np.ones_like(w)])
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == float(w[0])
    process.join()
    assert process.exitcode == 0
"""


@pytest.mark.skipif(os.name != "posix", reason="all ways of starting a process")
@pytest.mark.parametrize("way", ["spawn", "forkserver", "fork"])
def test_processes_of_every_kind(tmp_path, way):
    script = tmp_path / "started.py"
    script.write_text(STARTED)
    command = [sys.executable, str(script), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_shared_memory_that_loses_its_name():
    shared = shared_memory.SharedMemory(create=True, size=400)
    param, twin = np.ndarray(100, np.float32, shared.buf), np.ones(100, np.float32)
    param[:] = 1.0
    opt, other = gpuopt.Adam([param]), gpuopt.Adam([twin])
    for step in range(2):
        opt.step([np.ones(100, np.float32)])
        other.step([np.ones(100, np.float32)])
        if step == 0:
            shared.unlink()
    assert np.array_equal(param, twin)
    del opt, param
    shared.close()


def test_an_array_of_no_elements_needs_nothing():
    opt = gpuopt.Adam([np.zeros(0, np.float32)])
    opt.step([np.zeros(0, np.float32)])
    assert opt.state[0]["step"] == 1
