"""One optimizer that several threads step, read, save and load, from its first step on."""

import os

import pytest

from tests.helpers.backends import on_cpu
from tests.helpers.scripts import run_script

START = """
    import os, random, sys, threading, time
    import numpy as np
    import gpuopt
    from tests.helpers.exact import assert_same_bits

    os.environ["GPUOPT_NUM_THREADS"] = "2"
    BACKEND, SECONDS = {backend!r}, {seconds!r}
    gpuopt.use_backend(BACKEND)
    sys.setswitchinterval(1e-6)
    SHAPES = [(3,), (40, 5), (0,), (), (70_000,), *[(n,) for n in range(1, 12)]]
    OPTIONS = dict(lr=0.01, clip_norm=100.0, ema_decay=0.5, stats=True)

    def arrays(seed):
        random = np.random.default_rng(seed)
        return [np.array(random.standard_normal(s), np.float32) for s in SHAPES]

    def in_threads(work, count=8):
        "Run ``work`` in threads until the time is up; return how often each was called."
        start, wrong, end, calls = threading.Barrier(count), [], [0.0], [0] * count

        def run(k):
            start.wait(60)
            end[0] = end[0] or time.monotonic() + SECONDS
            turns = random.Random(k)
            try:
                while not wrong and (time.monotonic() < end[0] or not calls[k]):
                    work(k, turns)
                    calls[k] += 1
            except BaseException as error:
                wrong.append(error)
                raise

        threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        if wrong: raise wrong[0]
        return calls
"""


@pytest.fixture(params=on_cpu())
def trial(request, seconds):
    """Runs the rest of a script on each backend of the CPU."""
    start = START.format(backend=request.param, seconds=seconds)

    def run(code, **more):
        assert run_script(start + code, timeout=120 + 3 * seconds, **more) == "done\n"

    return run


def test_the_first_steps_of_arrays(trial):
    """Each round, eight threads take the first step of a new optimizer at the same time."""
    trial("""
    SHAPES += [(n,) for n in range(12, 300)]
    grads, meeting = arrays(1), threading.Barrier(8)
    shared = []
    alone = gpuopt.Adam(arrays(0), lr=0.01)
    for _ in range(8): alone.step(grads)
    end = time.monotonic() + SECONDS

    def rounds(k):
        while True:
            if not k: shared[:] = [gpuopt.Adam(arrays(0), lr=0.01), time.monotonic() < end]
            meeting.wait(60)
            opt, go_on = shared
            opt.step(grads)
            meeting.wait(60)
            for one, other in zip(opt._fused.params[k::8], alone._fused.params[k::8]):
                assert_same_bits(one, other)
            if not go_on: return

    def run(k):
        try: rounds(k)
        except BaseException: meeting.abort(); raise

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("done")
    """)


def test_steps_and_snapshots_of_arrays(trial):
    """Every state dict is that after some whole number of steps, and no step is lost."""
    trial("""
    params, grads = arrays(0), arrays(1)
    opt = gpuopt.Adam(params, **OPTIONS)
    taken, found = [0] * 8, []

    def work(k, turns):
        opt.step(grads)
        taken[k] += 1
        if turns.random() < 0.3: found.append(opt.state_dict()["state"])
        if turns.random() < 0.3: opt.state, opt.ema, opt.stats(), opt.grad_norm
        if turns.random() < 0.3: opt.change(clip_norm=100.0)
        del found[:-50]

    in_threads(work)
    alone = gpuopt.Adam(arrays(0), **OPTIONS)
    by_step, seen = {0: {}}, {own[0]["step"] for own in found}
    for k in range(sum(taken)):
        alone.step(grads)
        if k + 1 in seen: by_step[k + 1] = alone.state_dict()["state"]
    for one, other in zip(params, alone._fused.params): assert_same_bits(one, other)
    assert opt.state_dict()["state"][0]["step"] == sum(taken)
    for own in found:
        expected = by_step[own[0]["step"]]
        assert own.keys() == expected.keys()
        for key in own:
            assert own[key]["step"] == expected[key]["step"]
            for name in ("exp_avg", "exp_avg_sq", "ema"):
                assert_same_bits(own[key][name], expected[key][name])
    print("done")
    """)


def test_loads_beside_steps_of_arrays(trial, tmp_path):
    """The moments depend on the gradients and the step alone, whichever load comes between."""
    pytest.importorskip("safetensors")
    trial(
        """
    folder = os.environ["FOLDER"]
    grads, options = arrays(1), dict(lr=0.01, skip_nonfinite=True)
    alone, by_step = gpuopt.Adam(arrays(0), **options), []
    for k in range(60):
        by_step.append(alone.state_dict())
        alone.step(grads)
    opt = gpuopt.Adam(arrays(0), **options)
    alone.load_state_dict(by_step[5])
    alone.save(folder + "/five")

    def work(k, turns):
        if k < 3 or opt.state_dict()["state"].get(0, {"step": 0})["step"] < 40: opt.step(grads)
        if k < 3 and turns.random() < 0.3: opt.load_state_dict(by_step[turns.randrange(10)])
        if k == 4: opt.load(folder + "/five")
        if k == 5: opt.save(folder + "/any")
        if k == 6: opt.lr = 0.01
        held = opt.state_dict()["state"]
        steps = {own["step"] for own in held.values()}
        assert len(steps) <= 1, steps
        expected = by_step[steps.pop() if steps else 0]["state"]
        for key, own in held.items():
            for name in ("exp_avg", "exp_avg_sq"):
                assert_same_bits(own[name], expected[key][name])

    in_threads(work)
    opt.load(folder + "/any")
    print("done")
    """,
        FOLDER=str(tmp_path),
    )


def test_drop_ins(trial):
    pytest.importorskip("torch")
    trial("""
    import copy
    import torch
    import gpuopt.torch

    def tensors(seed): return [torch.tensor(array) for array in arrays(seed)]

    def made():
        params = tensors(0)
        for param, grad in zip(params, tensors(1)): param.grad = grad
        return params, gpuopt.torch.Adam(params, skip_nonfinite=True, **OPTIONS)

    params, opt = made()
    taken = [0] * 8

    def work(k, turns):
        opt.step()
        taken[k] += 1
        if turns.random() < 0.3:
            held = opt.state_dict()["state"]
            assert len(held) in (0, len(params)), held
        if turns.random() < 0.3: opt.state, opt.ema, opt.stats(), opt.grad_norm, opt.skipped_steps
        if turns.random() < 0.3: opt.change(clip_norm=100.0)
        if turns.random() < 0.1: copy.copy(opt)

    in_threads(work)
    others, alone = made()
    for _ in range(sum(taken)): alone.step()
    for one, other in zip(params, others): assert_same_bits(one, other)
    assert int(opt.state[params[0]]["step"]) == sum(taken)
    print("done")
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("api", ["gpuopt", "gpuopt.torch"])
def test_a_child_that_was_forked_in_another_threads_step(api):
    """The other thread is not in the child, and cannot let it have the lock."""
    if api == "gpuopt.torch":
        pytest.importorskip("torch")
    code = """
    import os, threading, warnings
    import numpy as np
    import gpuopt
    from API import SGD

    gpuopt.use_backend("numpy")
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # fork with threads
    param = np.zeros(3, np.float32)
    if "torch" in "API":
        import torch
        param = torch.tensor(param)
        param.grad = torch.ones(3)
    opt = SGD([param], lr=1.0)
    step = opt.step if "torch" in "API" else lambda: opt.step([np.ones(3, np.float32)])
    held, over = threading.Event(), threading.Event()

    def hold():
        with opt._locked():
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        step()
        os._exit(0 if param.tolist() == [-1.0] * 3 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    over.set()
    thread.join()
    with opt._locked():
        child = os.fork()
        if not child:  # which holds the lock, as its parent does
            step()
    if not child:
        step()
        os._exit(0 if param.tolist() == [-2.0] * 3 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_script(code.replace("API", api), timeout=60) == "0\n0\n"
