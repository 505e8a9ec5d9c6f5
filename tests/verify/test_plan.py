"""What is checked on a machine, and what is said not to have been seen."""

from dataclasses import replace

import pytest

from gpuopt import doctor
from gpuopt.engine.dispatch import BACKENDS, Backend
from gpuopt.verify.devices import DEVICES
from gpuopt.verify.libraries import LIBRARIES
from gpuopt.verify.plan import Plan, plan, plan_from

pytest.importorskip("torch")


class Found:
    """A library that finds so many devices, or fails."""

    def __init__(self, count):
        self._count = count

    def count(self):
        if self._count is None:
            raise OSError("cudaErrorInsufficientDriver")
        return self._count


@pytest.fixture
def on(monkeypatch):
    """The plan of a machine on which torch finds so many devices, and CuPy none."""
    known = BACKENDS["numpy"]
    monkeypatch.setattr(doctor, "report", dict)
    monkeypatch.setitem(BACKENDS, "triton", Backend("triton", known.module, ("cuda",), "-"))
    monkeypatch.setitem(BACKENDS, "cupy", Backend("cupy", "no_such_module", ("cuda",), "get it"))

    def with_devices(count):
        monkeypatch.setitem(DEVICES, "torch", Found(count))
        return plan()

    return with_devices


def kinds(found, backend="triton"):
    return {check.kind for check in found.checks if check.backend == backend}


def test_a_machine_with_two_devices(on):
    found = on(2)
    assert kinds(found) >= {
        "rule",
        "drop-in",
        "streams",
        "graph",
        "pinned",
        "no waiting",
        "devices",
    }
    assert [one for one in found.unseen if "GPU" in one or "two devices" in one] == []


def test_a_machine_with_one_device(on):
    found = on(1)
    assert kinds(found) >= {"streams", "graph"}
    assert "devices" not in kinds(found)
    assert "arrays on two devices: there is one" in found.unseen


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "triton with torch tensors: torch finds no CUDA device"),
        (None, "triton with torch tensors: OSError: cudaErrorInsufficientDriver"),
    ],
)
def test_a_machine_on_which_the_library_finds_none(on, count, said):
    found = on(count)
    assert kinds(found) == set()
    assert said in found.unseen
    assert any(one.startswith("streams, CUDA graphs, ") for one in found.unseen)


def test_a_backend_that_cannot_run_is_named_with_what_it_needs(on):
    found = on(1)
    assert kinds(found, "cupy") == set()
    (said,) = [one for one in found.unseen if one.startswith("cupy: ")]
    assert "no_such_module" in said and said.endswith("get it")


def test_a_library_that_raises_when_it_is_imported_is_named(on, monkeypatch, tmp_path):
    (tmp_path / "damaged_library.py").write_text("raise ValueError('numpy.dtype size changed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    damaged = replace(LIBRARIES["torch"], name="damaged_library")
    monkeypatch.setitem(LIBRARIES, "torch", damaged)
    found = on(1)
    assert "torch tensors: ValueError: numpy.dtype size changed" in found.unseen
    assert "torch" not in {check.library for check in found.checks}


def test_without_ml_dtypes_bfloat16_is_not_seen(on, monkeypatch):
    pytest.importorskip("llvmlite")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = "ml_dtypes is not installed; to install it: pip install ml_dtypes"
    assert f"llvm: bfloat16 in NumPy arrays: {said}" in on(1).unseen


def test_a_plan_goes_through_json(on):
    found = on(2)
    assert plan_from(found.to_json()) == Plan(found.machine, found.checks, found.unseen)


def test_each_backend_is_checked_in_full_once(on):
    pytest.importorskip("llvmlite")
    full = [
        check.library
        for check in on(1).checks
        if (check.backend, check.subject, check.dtype) == ("llvm", "lion", "float16")
    ]
    assert set(full) == {"numpy"}
