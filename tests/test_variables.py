"""Environment variables: those that gpuopt does not know are named."""

import re
from pathlib import Path

import pytest

from gpuopt.doctor import doctor, report
from gpuopt.variables import KNOWN
from tests.helpers.scripts import run_script

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GPUOPT_BACKENDS", "; did you mean GPUOPT_BACKEND?"),
        ("GPUOPT_THREADS", "; did you mean GPUOPT_NUM_THREADS?"),
        ("GPUOPT_SOMETHING", ""),
    ],
)
def test_an_unknown_variable_is_named_once(name, hint):
    code = """
        import warnings
        import numpy as np
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import gpuopt
            for _ in range(2):
                gpuopt.SGD([np.zeros(2, np.float32)], lr=0.5)
        print(*(one.message for one in caught), sep="\\n")
    """
    said = run_script(code, **{name: "1", "GPUOPT_NUM_THREADS": "1", "GPUOPT_REQUIRE_GPU": None})
    assert said == f"environment variable {name}: unknown, and ignored{hint}\n"


def test_doctor_names_it_too(monkeypatch, capsys):
    monkeypatch.setenv("GPUOPT_BACKENDS", "numpy")
    assert report()["unknown_variables"] == {
        "GPUOPT_BACKENDS": "unknown, and ignored; did you mean GPUOPT_BACKEND?"
    }
    assert doctor([], None) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    said = "unknown, and ignored; did you mean GPUOPT_BACKEND?"
    assert ["GPUOPT_BACKENDS", "numpy", said] in rows


def test_every_variable_that_the_sources_read_is_known():
    files = [*(ROOT / "gpuopt").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    files += [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests/gpu").rglob("*.py")]
    text = "".join(file.read_text() for file in files)
    assert set(re.findall(r"(?<![A-Z_])GPUOPT_[A-Z_]+", text)) - {"GPUOPT_BACKENDS"} == set(KNOWN)
