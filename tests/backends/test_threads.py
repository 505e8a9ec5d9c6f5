"""Threads: the same bits with any number, from several threads, after fork, and at exit."""

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gpuopt.kernels import threads

import gpuopt
from gpuopt.engine.step import FusedStep
from tests.helpers.backends import on_cpu
from tests.helpers.exact import assert_same_bits
from tests.helpers.scripts import run_script
from tests.helpers.stepping import (
    ALL_STAGES,
    assert_same_outcome,
    check,
    on_backend,
    on_whole_arrays,
    random_problem,
)

LARGE = 5 * threads.SMALL + 1234


@pytest.fixture(params=on_cpu(reference=False))
def backend(request):
    """Those for the CPU: a device has no threads, and its simulations belong to the process."""
    return request.param


@pytest.fixture(autouse=True)
def pool_of_its_own():
    threads._forget_pool()
    yield
    threads._forget_pool()


# --- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_any_number_of_threads_gives_the_same_bits(backend, monkeypatch, count):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", str(count))
    shapes = [(LARGE,), (0,), *[(n,) for n in range(1, 60)], (threads.SMALL,), (3, 50_000)]
    check(backend, random_problem("adam", shapes, ALL_STAGES, {}))


def test_a_number_that_changes_between_steps(backend, monkeypatch):
    problem = random_problem("adam", [(LARGE,)], steps=6)
    param = problem.params[0].copy()
    fused = FusedStep([param], ["p"], [0])
    with gpuopt.use_backend(backend):
        for count, grads in zip((1, 8, 2, 3, 1, 5), problem.grads):
            monkeypatch.setenv("GPUOPT_NUM_THREADS", str(count))
            fused.run(grads, problem.groups)
    assert_same_bits(param, on_whole_arrays(problem).params[0])


def test_optimizers_stepped_from_several_threads_at_once(backend, monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "3")
    shapes = [(LARGE,), (100,)]
    problems = [
        random_problem(r, shapes, {"lr": lr}, steps=8)
        for r in ("adam", "momentum")
        for lr in (0.1, 0.2, 0.3)
    ]
    start = threading.Barrier(len(problems))

    def run(problem):
        start.wait(60)
        return on_backend(backend, problem)

    with gpuopt.use_backend(backend), ThreadPoolExecutor(len(problems)) as several:
        outcomes = list(several.map(run, problems))
    for outcome, problem in zip(outcomes, problems):
        assert_same_outcome(outcome, on_whole_arrays(problem))


def test_the_first_steps_of_a_process_in_several_threads(backend):
    script = """
        import threading
        import gpuopt
        from tests.helpers.stepping import *

        problem = random_problem("adam", [(300_000,), (5,)])
        expected = on_whole_arrays(problem)
        with gpuopt.use_backend(BACKEND):
            start, wrong = threading.Barrier(4), []

            def run():
                start.wait(60)
                try:
                    assert_same_outcome(on_backend(BACKEND, problem), expected)
                except BaseException as error:
                    wrong.append(error)

            runs = [threading.Thread(target=run) for _ in range(4)]
            for r in runs: r.start()
            for r in runs: r.join()
        print(wrong)
    """
    assert run_script(script.replace("BACKEND", repr(backend))) == "[]\n"


# --- GPUOPT_NUM_THREADS --------------------------------------------------------------------------

WRONG = ["0", "-1", "two", "", "1.5", " 2"]


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_number_is_an_error_before_anything_changes(monkeypatch, value):
    pytest.importorskip("llvmlite")
    # The small float64 tensors form a table of their own, in front of the large one.
    problem = random_problem("adam", [(5,), (LARGE,)], steps=2)
    problem.params[0] = problem.params[0].astype(np.float64)
    params = [p.copy() for p in problem.params]
    fused = FusedStep(params, ["a", "b"], [0, 0])
    with gpuopt.use_backend("llvm"):
        fused.run(problem.grads[0], problem.groups)
        before = [p.copy() for p in params]
        monkeypatch.setenv("GPUOPT_NUM_THREADS", value)
        with pytest.raises(ValueError, match=r"^GPUOPT_NUM_THREADS: expected a positive integer"):
            fused.run(problem.grads[1], problem.groups)
        for param, was in zip(params, before):
            assert_same_bits(param, was)
        monkeypatch.delenv("GPUOPT_NUM_THREADS")
        fused.run(problem.grads[1], problem.groups)
    for param, end in zip(params, on_whole_arrays(problem).params):
        assert_same_bits(param, end)


def test_the_default_is_every_usable_processor():
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    assert threads.thread_count() == len(usable(0))


# --- shares --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "weights",
    [
        [],
        [1],
        [threads.SMALL],
        [threads.SMALL * 10],
        [1] * 5 + [threads.SMALL * 4] + [1] * 5,
        [threads.SMALL // 2] * 7,
        [16384] * 100,
        [0, threads.SMALL, 0, 0, threads.SMALL, 0],
    ],
)
def test_every_item_is_done_once_and_shares_are_equal(monkeypatch, count, weights):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", str(count))
    done, lock = [], threading.Lock()

    def work(first, last):
        with lock:
            done.append(range(first, last))

    threads.for_each_share(work, np.cumsum(np.array(weights, np.int64)))
    assert sorted(itertools.chain(*done)) == list(range(len(weights)))
    assert len(done) <= count
    largest = max((sum(weights[i] for i in share) for share in done), default=0)
    assert largest <= sum(weights) / (count if sum(weights) >= threads.SMALL else 1) + max(
        weights, default=0
    )


def shares(count):
    """The ends of as many items as threads, each large enough for one."""
    return np.arange(1, count + 1) * threads.SMALL


def test_shares_are_done_at_the_same_time(monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "4")
    meeting = threading.Barrier(4)
    threads.for_each_share(lambda first, last: meeting.wait(60), shares(4))


def test_small_steps_stay_on_the_calling_thread(monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "4")
    seen = set()
    ends = np.arange(1, 5) * (threads.SMALL // 4 - 1)
    threads.for_each_share(lambda first, last: seen.add(threading.get_ident()), ends)
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize("failing", range(4))
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_share_that_fails_does_not_leave_others_running(monkeypatch, failing, kind):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "4")
    finished = []

    def work(first, last):
        if first == failing:
            raise kind("this share")
        time.sleep(0.05)
        finished.append(first)

    with pytest.raises(kind, match="this share"):
        threads.for_each_share(work, shares(4))
    assert sorted(finished) == [i for i in range(4) if i != failing]
    meeting = threading.Barrier(4)
    threads.for_each_share(lambda first, last: meeting.wait(60), shares(4))


@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupted_wait_still_waits(monkeypatch, times):
    """Ctrl-C, even pressed again and again: nothing changes after the call is over."""
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "3")
    wait, interrupts = threads.wait, iter([True] * times)

    def interrupted(futures):
        if next(interrupts, False):
            raise KeyboardInterrupt
        return wait(futures)

    monkeypatch.setattr(threads, "wait", interrupted)
    finished = []

    def work(first, last):
        time.sleep(0.1 * first)
        finished.append(first)

    with pytest.raises(KeyboardInterrupt):
        threads.for_each_share(work, shares(3))
    assert sorted(finished) == [0, 1, 2]


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_system_out_of_threads_does_every_share_once(monkeypatch, allowed):
    """The pool keeps in its queue what it could start no thread for: it must not run twice."""
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "4")
    start, started = threading.Thread.start, iter(range(100))

    def limited(thread):
        if next(started) >= allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    times = np.zeros(4, int)

    def work(first, last):
        time.sleep(0.02)
        times[first:last] += 1

    threads.for_each_share(work, shares(4))
    assert times.tolist() == [1] * 4
    time.sleep(0.1)  # what was left in the queue
    assert times.tolist() == [1] * 4


# --- processes -----------------------------------------------------------------------------------

STEPS = """
    import os, sys, threading, time, warnings
    os.environ["GPUOPT_NUM_THREADS"] = "3"
    import numpy as np
    import gpuopt
    from gpuopt.kernels import threads
    from gpuopt.engine.step import FusedStep
    from tests.helpers.stepping import *

    warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # fork with threads
    gpuopt.use_backend(BACKEND)
    problem = random_problem("adam", [(300_000,), (5,)], steps=4)
    params = [p.copy() for p in problem.params]
    fused = FusedStep(params, ["a", "b"], [0, 0])

    def step(i):
        fused.run(problem.grads[i], problem.groups)

    def right(n):
        "Whether the parameters are what n steps make of them."
        short = Problem(problem.params, problem.grads[:n], problem.groups)
        ends = on_whole_arrays(short).params
        return all((p == end).all() for p, end in zip(params, ends))
"""


def run_steps(backend, code, **options):
    import textwrap

    script = textwrap.dedent(STEPS) + textwrap.dedent(code)
    return run_script(script.replace("BACKEND", repr(backend)), **options).split()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_forked_child_steps_on(backend):
    code = """
        step(0)                                   # the pool is running now
        child = os.fork()
        if not child:
            step(1); step(2)
            os._exit(0 if right(3) else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        step(1)                                   # the child's memory is its own
        print(right(2))
    """
    assert run_steps(backend, code) == ["0", "True"]


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_a_pool_and_a_lock_of_its_own():
    """Another thread may hold the lock at the fork; the child has neither it nor the pool's."""
    threads._get_pool()
    with threads._lock:
        child = os.fork()
        if not child:
            os._exit(threads._lock.locked() or threads._pool is not None)
    assert os.waitpid(child, 0)[1] == 0


@needs_fork
def test_a_fork_while_other_threads_step(backend):
    code = """
        step(0)
        busy = [random_problem("adam", [(300_000,)], steps=1) for _ in range(2)]
        stop = threading.Event()

        def run(problem):
            own = FusedStep([p.copy() for p in problem.params], ["c"], [0])
            while not stop.is_set():
                own.run(problem.grads[0], problem.groups)

        others = [threading.Thread(target=run, args=(b,)) for b in busy]
        for o in others: o.start()
        for _ in range(5):
            child = os.fork()
            if not child:
                step(1); step(2)
                os._exit(0 if right(3) else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        for o in others: o.join()
        step(1)
        print(right(2))
    """
    assert run_steps(backend, code) == ["0"] * 5 + ["True"]


@needs_fork
def test_multiprocessing_children_step(backend):
    code = """
        import multiprocessing
        step(0)

        def child(queue):
            step(1)
            queue.put(right(2))

        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        for _ in range(2):
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get(timeout=60))
            process.join(60)
            print(process.exitcode)
    """
    assert run_steps(backend, code) == ["True", "0"] * 2


@pytest.mark.parametrize("before", [0, 1])
def test_steps_while_the_interpreter_exits(backend, before):
    """An atexit handler that saves a last average, say; with and without a running pool."""
    code = f"""
        import atexit
        for i in range({before}): step(i)

        @atexit.register
        def last_steps():
            step({before}); step({before} + 1)
            print(right({before} + 2), flush=True)
    """
    assert run_steps(backend, code) == ["True"]


def test_a_thread_that_steps_longer_than_the_program(backend):
    code = """
        step(0)

        def later():
            threading.main_thread().join()
            for i in (1, 2, 3): step(i)
            print(right(4), flush=True)

        threading.Thread(target=later).start()
    """
    assert run_steps(backend, code) == ["True"]


def test_a_daemon_thread_in_a_step_does_not_keep_the_program(backend):
    code = """
        step(0)

        def forever():
            while True: step(1)

        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print("done", flush=True)
    """
    assert run_steps(backend, code) == ["done"]


@pytest.mark.skipif(os.name != "posix", reason="sends itself the signal of Ctrl-C")
def test_ctrl_c_leaves_nothing_running(backend):
    code = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        step(0)

        def press():
            for k in range(20):
                time.sleep(0.01 + 0.0007 * k)
                ready.wait(); ready.clear()
                os.kill(os.getpid(), signal.SIGINT)

        ready = threading.Event()
        keyboard = threading.Thread(target=press)
        keyboard.start()
        interrupted = changed = 0
        while interrupted < 20:
            try:
                ready.set()
                while True: step(1)
            except KeyboardInterrupt:
                interrupted += 1
                before = [p.copy() for p in params]
                time.sleep(0.005)
                changed += any((p != b).any() for p, b in zip(params, before))
        keyboard.join()
        step(1)                                   # and it is still usable
        print(interrupted, changed)
    """
    assert run_steps(backend, code) == ["20", "0"]
