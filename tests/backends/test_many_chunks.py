"""The norm of so many chunks that their partials are added on two levels."""

import numpy as np
import pytest
from gpuopt.kernels import device_table
from gpuopt.kernels.cuda.source import CHUNK, THREADS
from gpuopt.kernels.table import SUBTOTAL_ROWS

import gpuopt
from tests.tolerances import assert_close


@pytest.fixture
def levels(monkeypatch):
    """For each table that was measured, its chunks and how many rows were left to be added."""
    found = []
    prepare = device_table.DeviceTable._prepare_measure

    def noted(table, update):
        prepare(table, update)
        found.append((len(table._measured), len(table._subtotals)))

    monkeypatch.setattr(device_table.DeviceTable, "_prepare_measure", noted)
    return found


def placed(values):
    """Arrays of one element, thus of one chunk, all aligned: those of one table."""
    return list(np.pad(values[:, None], ((0, 0), (0, 3)))[:, :1])


def gradients(count):
    """The last has by far the largest element."""
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    values[-1] = 1000.0
    return placed(values)


def norm(backend, grads):
    """The norm of a clipped step, what it left, and how many steps it skipped."""
    params = placed(np.zeros(len(grads), np.float32))
    with gpuopt.use_backend(backend):
        optimizer = gpuopt.SGD(params, lr=1.0, clip_norm=1.0, skip_nonfinite=True)
        optimizer.step(grads)
    return optimizer.grad_norm, np.concatenate(params), optimizer.skipped_steps


@pytest.mark.parametrize("over", [0, 1])
def test_every_row_is_added_once(device, levels, over):
    count = SUBTOTAL_ROWS + over
    grads = gradients(count)
    found, wanted = norm(device, grads), norm("numpy", grads)
    assert levels == [(count, 2 if over else count)]
    assert_close(found[0], wanted[0], "sum in another order")
    assert np.array_equal(found[1], wanted[1])
    assert norm(device, grads)[0] == found[0]


def test_what_is_not_finite_is_noticed_in_every_subtotal(device):
    grads = gradients(SUBTOTAL_ROWS + 1)
    grads[-1][0] = np.inf
    _, left, skipped = norm(device, grads)
    assert skipped == 1
    assert not left.any()


def rounds(n_rows, rows_of_a_round):
    """How often the programs of both levels load rows, one after the other."""
    if n_rows <= SUBTOTAL_ROWS:
        return -(-n_rows // rows_of_a_round)
    subtotals = -(-n_rows // SUBTOTAL_ROWS)
    return SUBTOTAL_ROWS // rows_of_a_round - (-subtotals // rows_of_a_round)


@pytest.mark.parametrize(("rows_of_a_round", "most"), [(THREADS, 10), (2 * THREADS, 5)])
def test_a_large_model_has_few_rounds(rows_of_a_round, most):
    """CUDA C's and Triton's, each of which waits for memory; one program alone had 1,669."""
    assert rounds(7_000_000_000 // CHUNK, rows_of_a_round) <= most
