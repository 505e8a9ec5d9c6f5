"""Which kernels a step launches on a device, for any number of arrays: as docs/gpu.md says."""

import re
from pathlib import Path

import numpy as np
import pytest

import gpuopt

ROOT = Path(__file__).parents[2]
COEFFICIENTS, UPDATE, SUMS, TOTAL = "coefficients", "update", "sums", "total"

STEPS = {
    "Adam": ("Adam", {}, [COEFFICIENTS, UPDATE]),
    "with `clip_norm`": ("Adam", {"clip_norm": 1.0}, [UPDATE, TOTAL, COEFFICIENTS, UPDATE]),
    "LAMB": ("LAMB", {}, [COEFFICIENTS, UPDATE, SUMS, COEFFICIENTS, UPDATE]),
    "DAdaptAdam": ("DAdaptAdam", {}, [COEFFICIENTS, UPDATE, SUMS, SUMS, COEFFICIENTS]),
    "Prodigy": (
        "Prodigy",
        {},
        [COEFFICIENTS, UPDATE, SUMS, SUMS, COEFFICIENTS, COEFFICIENTS, UPDATE],
    ),
}
"""The optimizer, its options, and the kernels of a step in their order, by their names there."""


@pytest.fixture
def launched(device, monkeypatch):
    """The names of the kernels in the order in which they are launched."""
    names = []

    def watched(make, name_of):
        def bound(*arguments):
            launch, name = make(*arguments), name_of(arguments)

            def run():
                names.append(name.removeprefix("multi_tensor_"))
                launch()

            return run

        return bound

    if device == "triton":
        from gpuopt.kernels.triton import launch

        own = watched(launch._launch, lambda arguments: arguments[0].__name__)
        monkeypatch.setattr(launch, "_launch", own)
    else:
        from gpuopt.kernels.cuda import entry_points

        own = watched(entry_points._bound, lambda arguments: arguments[2])
        monkeypatch.setattr(entry_points, "_bound", own)
    with gpuopt.use_backend(device):
        yield names


@pytest.mark.parametrize("name", STEPS)
def test_the_kernels_of_a_step(launched, name):
    optimizer, options, expected = STEPS[name]
    params = [np.ones((i % 3 + 1, 5), np.float32) for i in range(20)]
    opt = getattr(gpuopt, optimizer)(params, **options)
    opt.step([np.ones_like(p) for p in params])
    del launched[:]
    opt.step([np.ones_like(p) for p in params])
    assert launched == expected


@pytest.mark.parametrize("name", STEPS)
def test_the_page_says_so(name):
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    (count, kernels) = re.search(
        rf"^\| {re.escape(name)} \| (\d+) \| (.*) \|$", text, re.M
    ).groups()
    assert int(count) == len(STEPS[name][2])
    assert len(kernels.split(", ")) == len(STEPS[name][2])
