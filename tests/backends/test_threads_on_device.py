"""Several threads that launch on one device at once: each gets the bits of the rule."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import gpuopt
from tests.helpers.scripts import run_script
from tests.helpers.stepping import assert_same_outcome, on_backend, on_whole_arrays, random_problem


@pytest.fixture(autouse=True)
def on_a_device(request):
    if request.config.way == "interpret":
        pytest.skip("Triton's interpreter cannot run in several threads")


def step_at_once(backend, n_threads=4):
    """Step optimizers of two rules, in a thread each, and compare them with the rules."""
    problems = [
        random_problem(("adam", "momentum")[i % 2], [(200_000,), (5,)], {"lr": 0.1 + i}, steps=5)
        for i in range(n_threads)
    ]
    start = threading.Barrier(n_threads)

    def run(problem):
        start.wait(60)
        return on_backend(backend, problem)

    with gpuopt.use_backend(backend), ThreadPoolExecutor(n_threads) as threads:
        for outcome, problem in zip(threads.map(run, problems), problems):
            assert_same_outcome(outcome, on_whole_arrays(problem))


def test_optimizers_stepped_from_several_threads_at_once(device):
    step_at_once(device)


def test_the_first_steps_of_a_process(device, request):
    script = f"""
        import pytest
        from tests.backends.test_threads_on_device import step_at_once
        from tests.helpers.targets import ARCHS, prepare, stand_ins, targets
        from gpuopt.engine.dispatch import BACKENDS

        prepare({request.config.way!r})
        BACKENDS.update(stand_ins({request.config.way!r}))
        target = next(t for t in targets({request.config.way!r}, (90,)) if t.name == {device!r})
        with pytest.MonkeyPatch.context() as patch, target.in_force(patch):
            step_at_once({device!r})
        print("equal")
    """
    assert run_script(script) == "equal\n"
