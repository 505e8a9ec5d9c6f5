"""Every snippet of docs/switching.md runs as printed, in a new interpreter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "switching.md").read_text(encoding="utf-8")
SECTIONS = {
    title: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for title, text in re.findall(r"^##? ([^\n]+)\n(.*?)(?=^##? |\Z)", PAGE, re.M | re.S)
}

BEFORE = """
import torch
torch.manual_seed(0)
model = layer = torch.nn.Linear(4, 4)
loader = torch.utils.data.DataLoader(torch.ones(6, 4), batch_size=2)
before = layer.weight.detach().clone()
"""
TRAINED = """
assert not torch.equal(layer.weight, before)
"""
TRAIN = """
for x in loader:
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()
"""
GPT2 = """
import tempfile, transformers
sizes = dict(n_embd=8, n_layer=1, n_head=2, n_positions=16, vocab_size=32)
model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
layer, output_dir = model.transformer.wte, tempfile.mkdtemp()
before = layer.weight.detach().clone()
data = [{"input_ids": row, "labels": row} for row in torch.randint(32, (8, 8))]
"""
OURS = """
import gpuopt.torch
assert type(gpuopt.torch.of({})) is gpuopt.torch.AdamW
"""

AROUND = {
    "Switching from torch.optim": (
        "",
        "optimizer = AdamW(model.parameters(), lr=1e-3)" + TRAIN + OURS.format("optimizer"),
        (),
    ),
    "Scripts that hard-code torch.optim": (
        "",
        "optimizer = torch.optim.AdamW(model.parameters())" + TRAIN + OURS.format("optimizer"),
        (),
    ),
    "Hugging Face's Trainer": (GPT2, OURS.format("trainer"), ("transformers", "accelerate")),
    "Lightning": ("", "", ("pytorch_lightning",)),
    "Accelerate": ("", TRAIN + OURS.format("optimizer"), ("accelerate",)),
    "Check which backend runs": (
        "import gpuopt.torch\noptimizer = gpuopt.torch.AdamW(model.parameters())" + TRAIN,
        "",
        (),
    ),
    "Steps inside the backward pass": (
        "",
        "assert all(p.grad is None for p in model.parameters())",
        (),
    ),
}
"""By section, what stands before its snippet and behind it, and the libraries that these need."""


def test_every_section_with_a_snippet_is_run():
    assert {title for title, snippets in SECTIONS.items() if snippets} == AROUND.keys()
    assert all(len(snippets) < 2 for snippets in SECTIONS.values())


@pytest.mark.parametrize("title", AROUND)
def test_the_snippet_runs(title, tmp_path):
    before, behind, needed = AROUND[title]
    for library in needed:
        pytest.importorskip(library)
    (snippet,) = SECTIONS[title]
    path = tmp_path / "snippet.py"
    path.write_text("\n".join([BEFORE, before, snippet, behind, TRAINED]), encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GPUOPT_BACKEND": "numpy", **offline},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
