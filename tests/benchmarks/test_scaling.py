"""The scaling page: its shards are torch's, its tables those that a step builds."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from benchmarks import scaling
from benchmarks.models import rows_of
from gpuopt import AdamW


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64])
def test_rows_are_torchs(ranks):
    for count in (1, 5, 64, 100):
        parts = [len(part) for part in torch.arange(count).chunk(ranks)]
        parts += [0] * (ranks - len(parts))
        assert [rows_of(count, ranks, rank) for rank in range(ranks)] == parts


def test_the_models_have_their_sizes():
    sizes = {name: scaling.elements(shapes) for name, shapes in scaling.LARGE.items()}
    assert sizes == {"124M": 124_439_808, "7B": 6_738_415_616, "70B": 68_976_648_192}


@pytest.mark.parametrize(("what", "memory", "traffic"), [(0, 16, 32), (1, 16, 30)])
def test_bytes_of_an_element(what, memory, traffic):
    rank = scaling.on_rank(((64, 64),), 2, *list(scaling.TAILS.values())[what])
    assert rank.elements == 2048
    assert (rank.memory, rank.traffic) == (memory * 2048, traffic * 2048)


def test_the_table_is_that_of_a_step():
    shapes = ((70_000,), (3, 5))
    opt = AdamW([np.zeros(s, np.float32) for s in shapes], clip_norm=1.0)
    opt.step([np.ones(s, np.float32) for s in shapes])
    (launch,) = opt._step_taken()._launches
    update = launch.table.update
    (built,) = scaling.build_tables(
        list(scaling._entries(shapes, update, ("float32",) * 4)), launch._module.CHUNK
    )
    assert built.chunks.tolist() == launch.table.chunks.tolist()
    assert built.sizes.tolist() == launch.table.sizes.tolist()


def test_the_pages_are_printed(capsys):
    given = ["--large", "124M", "--ranks", "1", "1024", "--measure", "2"]
    assert scaling.main([*given, "--model", "tiny500", "--rounds", "2"]) == 0
    told = capsys.readouterr().out
    assert ["124M", "1,024", "140,690"] in [line.split()[:3] for line in told.splitlines()]
    assert "tiny500" in told
