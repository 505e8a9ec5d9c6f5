"""The scaling pages have torch's shards and the tables of a real step."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from gpuopt.kernels.device_table import DeviceTable

from benchmarks.models import elements, rows_of
from benchmarks.scaling import __main__ as command
from benchmarks.scaling import computed, measured
from gpuopt import AdamW


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64])
def test_rows_are_torchs(ranks):
    for count in (1, 5, 64, 100):
        parts = [len(part) for part in torch.arange(count).chunk(ranks)]
        parts += [0] * (ranks - len(parts))
        assert [rows_of(count, ranks, rank) for rank in range(ranks)] == parts


def test_the_models_have_their_sizes():
    sizes = {name: elements(shapes) for name, shapes in computed.LARGE.items()}
    assert sizes == {"124M": 124_439_808, "7B": 6_738_415_616, "70B": 68_976_648_192}


@pytest.mark.parametrize(("what", "memory", "traffic"), [(0, 16, 32), (1, 16, 30)])
def test_bytes_of_an_element(what, memory, traffic):
    rank = computed.on_rank(((64, 64),), 2, *list(computed.TAILS.values())[what])
    assert rank.elements == 2048
    assert (rank.memory, rank.traffic) == (memory * 2048, traffic * 2048)


def test_the_table_is_that_of_a_step():
    shapes = ((70_000,), (3, 5))
    opt = AdamW([np.zeros(s, np.float32) for s in shapes], clip_norm=1.0)
    opt.step([np.ones(s, np.float32) for s in shapes])
    (launch,) = opt._step_taken()._launches
    update = launch.table.update
    (built,) = computed.build_tables(
        list(computed._entries(shapes, update, ("float32",) * 4)), launch._module.CHUNK
    )
    assert built.chunks.tolist() == launch.table.chunks.tolist()
    assert built.sizes.tolist() == launch.table.sizes.tolist()


class Counting:
    """Device memory that counts the copied bytes."""

    bytes = 0

    def current(self):
        return nullcontext()

    def hold(self, arrays):
        return False

    def copy_number(self, array, row, column, number):
        pass

    def upload(self, values):
        self.bytes += values.nbytes
        return values

    def staged(self, values):
        return SimpleNamespace(array=self.upload(values))


def test_the_tables_bytes_are_those_that_go_to_a_device():
    ((dtype, tail),) = [own for own in computed.TAILS.values() if own[1].master_weights]
    (update,) = computed.updates_for([computed.RULES["adamw"]], computed._NO_OPTIONS, tail=tail)
    update = update.for_params(dtype)
    entries = computed._entries(((70_000,), (3, 5)), update, computed._dtypes(update, dtype))
    (table,) = computed.build_tables(list(entries), computed.CHUNK)
    memory, count = Counting(), np.zeros(2, np.int64)
    launch = SimpleNamespace(coefficients=lambda *_: None, walk=lambda *_: lambda: None)
    options = np.zeros((1, 9))
    DeviceTable(memory, launch, table, count, count, options).measure(update)
    flags = 2 * 4  # whether to skip, and never to
    assert computed._bytes(table) == memory.bytes - options.nbytes - flags


@pytest.mark.parametrize("count", [1, pytest.param(None, marks=pytest.mark.nightly)])
def test_the_pages_are_printed(capsys, monkeypatch, count):
    monkeypatch.setenv("GPUOPT_BACKEND", "numpy")  # which the processes need not compile
    some = [name for name in measured.OPTIMIZERS if name != "gpuopt, float32"][:count]
    monkeypatch.setattr(measured, "OPTIMIZERS", dict.fromkeys(some))
    given = ["--large", "124M", "--ranks", "1", "1024", "--measure", "2"]
    assert command.main([*given, "--model", "tiny500", "--rounds", "2"]) == 0
    told = capsys.readouterr().out
    assert ["124M", "1,024", "140,690"] in [line.split()[:3] for line in told.splitlines()]
    rows = [line for line in told.splitlines() if line.split()[:1] == ["tiny500"]]
    assert all(name in line for name, line in zip(some, rows, strict=True))
