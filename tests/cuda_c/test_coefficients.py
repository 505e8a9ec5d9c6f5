"""The kernel of the coefficients, run on the CPU, gives the bits of the NumPy function."""

import numpy as np
import pytest
from gpuopt.kernels.cuda import source as cuda_c
from gpuopt.kernels.storage import compute_dtype

from gpuopt import RULES
from tests.cuda_c.tables import list_dtypes, update_of
from tests.helpers.cuda_on_cpu import Module
from tests.helpers.exact import assert_same_bits

STEPS = [0, 1, 2, 3, 9, 99, 1000, 12345, 2**24, 2**31, 2**32 + 1, 2**40 + 7, 2**53 - 2]
"""Updates that tensors have had: the last is about to have its 2**53 - 1st."""

EXTREME = (0.0, 1.0, 1e-300, 1e300, 0.9999999999, 5e-324, -1.0)


def options_of(update, n_groups):
    """Ordinary options first, then others."""
    defaults = {"maximize": 1.0, "grad_factor": 0.3, "weight_decay": 0.02}
    defaults.update(update.rule.hyperparameters, **dict.fromkeys(update.rule.shared_names, 0.5))
    rows = [[defaults[name] for name in update.option_names]]
    rng = np.random.default_rng(4)
    rows += [rng.uniform(0.5, 1.0, len(rows[0])).tolist() for _ in range(n_groups - 8)]
    rows += [[value] * len(rows[0]) for value in EXTREME]
    return np.array(rows)


def launch(update, mix, addresses, steps, groups, options, carried=None):
    """Run the kernel; returns the coefficients, and counts in ``steps`` and ``carried``."""
    dtypes = list_dtypes(update, *mix)
    shape = (len(steps), len(update.coefficient_names))
    if carried is None:
        carried = np.zeros((len(steps), len(update.carried_names)))
    found = np.full(shape, 7.0, compute_dtype(dtypes[0]))
    go = np.zeros(1, np.float32)
    module = Module(cuda_c.source(update, dtypes, True))
    module.launch(
        cuda_c.COEFFICIENTS,
        *cuda_c.coefficients_geometry(len(steps)),
        (addresses, steps, carried, groups, options, found, go, np.int64(len(steps))),
    )
    return found


@pytest.mark.parametrize("param", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rules_coefficients(rule, param):
    update = update_of(rule)
    options = options_of(update, 20)
    steps = np.tile(STEPS, len(options)).astype(np.int64)
    groups = np.repeat(np.arange(len(options)), len(STEPS))
    addresses = np.ones((len(update.lists), len(steps)), np.int64)
    before = steps.copy()
    carried = np.random.default_rng(6).uniform(0.1, 0.9, (len(steps), len(update.carried_names)))
    given = carried.copy()
    found = launch(update, (param,) * 3, addresses, steps, groups, options, carried)
    assert (steps == before + 1).all()
    with np.errstate(all="ignore"):
        expected = [
            update.coefficients(
                int(step), dict(zip(update.option_names, options[group].tolist())), numbers
            )
            for step, group, numbers in zip(steps, groups, given.tolist())
        ]
        rows, n = np.array(expected), found.shape[1]
        assert_same_bits(found, rows[:, :n].astype(found.dtype), rule)
        assert_same_bits(carried, np.ascontiguousarray(rows[:, n:]), rule)


@pytest.mark.parametrize("n", [1, 127, 128, 129, 300])
def test_only_a_tensor_with_a_gradient_ages(n):
    update = update_of("adam")
    addresses = np.ones((4, n), np.int64)
    addresses[1, ::3] = 0
    steps = np.arange(5, 5 + n)
    options = options_of(update, 9)
    found = launch(update, ("bfloat16",) * 3, addresses, steps, np.zeros(n, np.int64), options)
    assert (steps == np.arange(5, 5 + n) + (np.arange(n) % 3 != 0)).all()
    assert not (found == 7.0).any()


def test_a_resting_tensor_carries_on_what_it_has():
    update = update_of("nadam")
    addresses = np.ones((4, 300), np.int64)
    addresses[1, ::3] = 0
    carried = np.full((300, 1), 0.5)
    options, zeros = options_of(update, 9), np.zeros(300, np.int64)
    launch(update, ("float32",) * 3, addresses, zeros.copy(), zeros, options, carried)
    assert (carried[::3] == 0.5).all()
    assert (carried[np.arange(300) % 3 != 0] < 0.5).all()
