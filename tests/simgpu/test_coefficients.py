"""The coefficients that both compilers' kernels compute, on the simulated device."""

import numpy as np
import pytest
from gpuopt.kernels.cuda.source import COEFFICIENTS

from gpuopt.inspection.cases import Case
from tests.helpers.exact import assert_same_bits

from . import build
from .memory import Region, only
from .run import kernels
from .walks import ptx_of, replaced

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

STEPS = [0, 1, 2, 3, 9, 99, 1000, 12345, 2**24, 2**31, 2**32 + 1, 2**40 + 7, 2**53 - 2]
"""Updates that tensors have had: the last is about to have its 2**53 - 1st."""

EXTREME = (0.0, 1.0, 1e-300, 1e300, 0.9999999999, 5e-324, -1.0, float("inf"), float("nan"))


def options_of(update):
    """The defaults, some others, and extreme ones: a row for each group."""
    defaults = {"maximize": 1.0, "grad_factor": 0.3, "weight_decay": 0.02}
    defaults.update(update.rule.hyperparameters, **dict.fromkeys(update.rule.shared_names, 0.5))
    rows = [[defaults[name] for name in update.option_names]]
    rows += np.random.default_rng(4).uniform(0.5, 1.0, (6, len(rows[0]))).tolist()
    return np.array(rows + [[value] * len(rows[0]) for value in EXTREME])


def run(case, steps, groups, options, carried, text=""):
    """Launch the kernel, which changes what is counted and carried; return the coefficients."""
    update, n = case.walked, len(steps)
    kernel = kernels(text or ptx_of(case))[COEFFICIENTS]
    addresses = np.ones((len(update.lists), n), np.int64)
    found = np.full((n, len(update.coefficient_names)), 7.0, np.float32)
    given = (addresses, groups, options, np.zeros(1, np.float32))
    arrays = (addresses, steps, carried, groups, options, found, given[-1])
    numbers = [*(array.ctypes.data for array in arrays), n, 0, 0]
    values = [number.to_bytes(size, "little") for number, size in zip(numbers, kernel.sizes)]
    threads, tensors = (128, 128) if case.backend == "cupy" else (32, 32)
    changed = [Region.of(array) for array in (steps, carried, found)]
    with only([*(Region.of(array, writable=False) for array in given), *changed]):
        kernel.launch(-(-n // tensors), threads, values)
    return found


def check(case, order, text=""):
    """Fail unless all coefficients have the bits of the NumPy function."""
    update = case.update
    options = options_of(update)
    steps = np.tile(STEPS, len(options)).astype(np.int64)
    groups = np.repeat(np.arange(len(options)), len(STEPS))
    places = order(len(steps))
    steps, groups = steps[places], groups[places]
    before = steps.copy()
    carried = np.random.default_rng(6).uniform(0.1, 0.9, (len(steps), len(update.carried_names)))
    rows = carried.tolist()
    found = run(case, steps, groups, options, carried, text)
    assert (steps == before + 1).all()
    named = [dict(zip(update.option_names, row)) for row in options.tolist()]
    with np.errstate(all="ignore"):
        expected = np.array(
            [
                update.coefficients(step, named[group], numbers)
                for step, group, numbers in zip(steps.tolist(), groups.tolist(), rows)
            ]
        )
        n = found.shape[1]
        assert_same_bits(found, expected[:, :n].astype(found.dtype), case.label)
        assert_same_bits(carried, np.ascontiguousarray(expected[:, n:]), case.label)


def case_of(backend, rule, arch=90):
    return Case(backend, "coefficients", rule, "scale_decay", ("float32",) * 3, arch)


ORDERS = {
    "mixed": lambda n: np.random.default_rng(2).permutation(n),
    "by step": lambda n: np.argsort(np.arange(n) % len(STEPS), kind="stable"),
}
"""Which tensors are neighbours: the highest bit of a warp's steps is anywhere, or its own."""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("arch", [75, 90])
@pytest.mark.parametrize("rule", ["adam", "nadam", "asgd", "radam"])
def test_every_step_has_numpys_bits(backend, rule, arch, order):
    check(case_of(backend, rule, arch), ORDERS[order])


@pytest.mark.parametrize("rule", ["dadapt_adam", "prodigy", "prodigy_l2_one_pass"])
def test_the_next_shared_numbers_have_numpys_bits(backend, rule):
    """As a device computes them from the totals: each row of numbers, with the options of each."""
    case = Case(backend, "coefficients", rule, "advance", ("float32",) * 3, 90)
    advance, rng = case.walked, np.random.default_rng(8)
    n_options, n_carried = len(advance.option_names), len(advance.carried_names)
    options = [rng.uniform(0.1, 0.9, (3, n_options)), np.tile(EXTREME, (n_options, 1)).T]
    options = np.ascontiguousarray(np.concatenate(options))
    rows = [rng.uniform(0.1, 2.0, (40, n_carried)), rng.choice(EXTREME, (60, n_carried))]
    carried = np.tile(np.concatenate(rows), (len(options), 1))
    before, steps = carried.copy(), np.zeros(len(carried), np.int64)
    groups = np.repeat(np.arange(len(options)), len(carried) // len(options))
    run(case, steps, groups, options, carried)
    n = len(advance.kept_names)
    named = [dict(zip(advance.option_names, row)) for row in options.tolist()]
    wanted = [advance.after(row[:n], row[n:], named[group]) for row, group in zip(before, groups)]
    assert_same_bits(carried, np.concatenate([np.array(wanted), before[:, n:]], axis=1), rule)
    assert (carried[:, :n] != before[:, :n]).any(axis=0).all()


SPOILT = {
    "every second bit of a step": replaced(r"(shr\.[su]64\s+%\w+, %\w+), 1;", r"\1, 2;", 0),
    "no roots": replaced(r"sqrt\.rn\.f64\s+(%\w+), (%\w+);", r"mov.f64 \1, \2;", 0),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_kernel_is_noticed(backend, how):
    case = case_of(backend, "nadam")
    text = SPOILT[how](ptx_of(case))
    assert text != ptx_of(case)
    with pytest.raises(AssertionError):
        check(case, ORDERS["mixed"], text)
