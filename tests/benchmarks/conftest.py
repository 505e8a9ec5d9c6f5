import gc
import json

import pytest

try:
    from benchmarks import __main__ as command
except ImportError:  # without typer
    collect_ignore_glob = ["test_*.py"]
from benchmarks import timing
from benchmarks.models import MODELS

SHAPES = ((70,), (3, 5), (1,))


@pytest.fixture(autouse=True)
def small_and_short(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny500", SHAPES)
    monkeypatch.setattr(timing, "SHORTEST", 1e-5)
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    monkeypatch.setattr(timing, "empty_cache", lambda: None)
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)
    gc.freeze()  # each contender collects garbage first, which takes as long as there are objects


@pytest.fixture
def run(tmp_path):
    """Run the command and return its JSON, without the slow torch.compile as a peer."""

    def run(*arguments):
        file = tmp_path / "out.json"
        quick = ["torch fused", "torch for-loop", "optimi", "textbook NumPy"]
        asked = ("--rounds", "2", "--threads", "1", "--json", str(file))
        given = () if "--peers" in arguments else ("--peers", *quick)
        assert command.main([*arguments, *given, *asked]) == 0
        return json.loads(file.read_text())

    return run
