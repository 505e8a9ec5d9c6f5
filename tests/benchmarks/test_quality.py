"""Trainings with every storage, in a few steps each."""

import json

import pytest

from benchmarks.quality import flashoptim, hard
from benchmarks.quality.__main__ import main
from benchmarks.quality.methods import METHODS, STORAGES
from benchmarks.quality.tasks import TASKS
from benchmarks.quality.training import trained

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads of torch that wait for each other spin: on a busy machine, for minutes."""
    before = torch.get_num_threads()
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_learned_and_repeats(task):
    before, after, again = (
        trained(TASKS[task], METHODS["Adam"], STORAGES["float32"], 0, steps)
        for steps in (1, 40, 40)
    )
    assert after < before - 0.3
    assert after == again


@pytest.mark.parametrize("name", METHODS)
def test_every_optimizer_trains(name):
    losses = [trained(TASKS["mlp"], METHODS[name], STORAGES["8bit"], 0, n) for n in (1, 40)]
    assert losses[1] < losses[0]


def test_the_command_writes_losses_and_a_table(tmp_path, capsys):
    files = tmp_path / "new.json", tmp_path / "new.md"
    few = ("--task", "mlp", "--optimizers", "Adam", "--seeds", "2", "--steps", "5")
    assert main([*few, "--json", str(files[0]), "--markdown", str(files[1])]) in (0, 1)
    ours = [name for name, storage in STORAGES.items() if not name.endswith("8bit")]
    (line,) = json.loads(files[0].read_text())
    assert {*ours, "8bit"} <= line["losses"].keys() <= STORAGES.keys()
    assert {len(losses) for losses in line["losses"].values()} == {2}
    assert files[1].read_text().count("| mlp, 5 | Adam |") == len(line["losses"])
    assert "mlp Adam 8bit " in capsys.readouterr().out


@pytest.mark.parametrize("squares", [False, True])
def test_formulas_of_flashoptim(squares):
    x = torch.tensor([4.0, 1.0, 0.0, 1e-9, *[0.5] * 30]) * (1 if squares else -1)
    stored = flashoptim.stored(x, squares)
    torch.testing.assert_close(stored, x, rtol=0.01, atol=1e-8)
    assert (stored[2:4] == 0).all()


def test_hard_gradients_are_the_same_again():
    for one, other in zip(hard.gradients("sparse rows"), hard.gradients("sparse rows")):
        assert (one == other).all()
