"""README: one screen, whose examples run as printed, each in a new interpreter."""

import re

import pytest

from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.scripts import ROOT, run_script

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SWITCHING = (ROOT / "docs" / "switching.md").read_text(encoding="utf-8")


def test_it_is_one_screen():
    assert 110 <= len(TEXT.splitlines()) <= 150


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_an_example_runs(place, tmp_path):
    code = EXAMPLES[place]
    if "torch" in code:
        pytest.importorskip("torch")
    if ".save(" in code:
        pytest.importorskip("safetensors")
    said = run_script(code, cwd=tmp_path, timeout=300)
    if "print" in code:
        loss, backend = re.fullmatch(r"loss (\S+), by (\w+)\n", said).groups()
        assert float(loss) < 0.3
        assert backend in ("llvm", "numpy")


def test_what_frameworks_take_is_what_the_pages_run():
    """The lines of the table stand in examples, which run."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)
    table = {where: re.findall(r"`([^`]+)`", code) for where, code in rows}
    for where in ("Hugging Face Trainer", "Lightning", "Accelerate"):
        first = table[where][0]
        assert first in SWITCHING, first
    assert any("nanoGPT" in where for where in table)


def test_the_number_of_optimizers_is_right():
    torch = pytest.importorskip("torch")
    of_both = [name for name in DEFINITIONS if hasattr(torch.optim, name)]
    found = re.search(r"There are (\d+) optimizers; torch.optim lacks (\d+)", TEXT)
    assert [int(x) for x in found.groups()] == [len(DEFINITIONS), len(DEFINITIONS) - len(of_both)]


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (ROOT / target).exists(), target
