import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuopt.doctor import KINDS, PACKAGES, doctor, report
from gpuopt.engine.dispatch import BACKENDS, Backend
from tests.helpers.nvidia_smi import put_nvidia_smi


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path_factory):
    """Nothing forced, and a cache that no other test writes to between two reports."""
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)
    monkeypatch.delenv("GPUOPT_NUM_THREADS", raising=False)


@pytest.fixture
def broken():
    """The only CUDA backend, and it lacks its library."""
    known = dict(BACKENDS)
    for name in [name for name, backend in known.items() if "cuda" in backend.devices]:
        del BACKENDS[name]
    backend = Backend("broken", "no_such_library", ("cuda",), "pip install 'gpuopt[broken]'")
    BACKENDS["broken"] = backend
    yield
    BACKENDS.clear()
    BACKENDS.update(known)  # in the order of preference


def run_without(*libraries, code, **environment):
    """Run code in a fresh interpreter that cannot import these libraries."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in libraries)
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {blocked}{code}"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_the_report_is_data_about_everything_there_is():
    found = json.loads(json.dumps(report()))
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found["packages"]) == set(PACKAGES)
    assert found["packages"]["numpy"]
    assert set(found["backends"]) == set(BACKENDS)
    assert set(found["arrays"]) == {kind for kind, _, _ in KINDS}
    assert found["devices"]["cpu"]["cores"] == os.cpu_count()
    assert found["arrays"]["NumPy array"]["backend"] in BACKENDS
    assert found["arrays"]["NumPy array"]["reason"]


def test_text_names_every_package_backend_and_kind_of_array(capsys):
    assert doctor([], None) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in (*PACKAGES, *BACKENDS, *(kind for kind, _, _ in KINDS)):
        assert f"\n  {name} " in out, name
    assert "\x1b" not in out


def test_a_terminal_gets_colours_and_the_same_words(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert doctor([], None) == 0
    out = capsys.readouterr().out
    assert "\x1b[" in out
    for name in (*PACKAGES, *BACKENDS, *(kind for kind, _, _ in KINDS)):
        assert name in out


def test_a_required_backend_that_runs_is_fine():
    assert doctor(["numpy"], None) == 0


@pytest.mark.parametrize("require", [["broken"], ["numpy,broken"], ["numpy", " broken "]])
def test_a_required_backend_that_cannot_run_fails_and_says_why(broken, capsys, require):
    assert doctor(require, None) == 1
    err = capsys.readouterr().err
    assert "'broken' cannot run" in err
    assert "no_such_library" in err
    assert "pip install 'gpuopt[broken]'" in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ('ImportError("no such symbol")', "no such symbol"),
        ('OSError("no such shared object")', "no such shared object"),
        ('ValueError("numpy.dtype size changed")', "ValueError: numpy.dtype size changed"),
        ("AttributeError()", "AttributeError: "),
    ],
)
def test_a_library_that_raises_when_it_is_imported(tmp_path, monkeypatch, error, said):
    """One that was built for another NumPy, say: it is as good as missing, and named."""
    module = f"damaged_{error.partition('(')[0]}"
    (tmp_path / f"{module}.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BACKENDS, "damaged", Backend("damaged", module, ("cuda",), "get it"))
    assert report()["backends"]["damaged"]["problem"] == f"{said}; to install it: get it"


def test_an_unknown_backend_is_a_bad_argument(capsys):
    assert doctor(["numpy", "nomba"], None) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nomba" in err
    assert "llvm, numpy" in err


@pytest.mark.parametrize("require", [[], ["numpy"]])
def test_a_forced_backend_that_does_not_exist_fails_and_is_named(capsys, monkeypatch, require):
    monkeypatch.setenv("GPUOPT_BACKEND", "lvm")
    assert doctor(require, None) == 1
    out, err = capsys.readouterr()
    assert "GPUOPT_BACKEND: expected one of" in out
    assert "'lvm', forced by GPUOPT_BACKEND, cannot run" in err and "did you mean llvm?" in err


def test_backends_that_are_forced_and_required_are_both_named(broken, capsys, monkeypatch):
    monkeypatch.setenv("GPUOPT_BACKEND", "nomba")
    assert doctor(["broken"], None) == 1
    monkeypatch.setenv("GPUOPT_BACKEND", "broken")
    assert doctor(["numpy"], None) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "required backend 'broken' cannot run" in first and "'nomba', forced by" in first
    assert "'broken', forced by GPUOPT_BACKEND, cannot run: " in second


def test_a_forced_backend_is_what_arrays_get(monkeypatch):
    monkeypatch.setenv("GPUOPT_BACKEND", "numpy")
    found = report()
    assert found["environment"] == {**found["environment"], "GPUOPT_BACKEND": "numpy"}
    assert found["arrays"]["NumPy array"] == {
        "backend": "numpy",
        "reason": "forced by GPUOPT_BACKEND",
    }


def test_a_bad_number_of_threads_is_reported_not_raised(capsys, monkeypatch):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "many")
    assert doctor([], None) == 0
    assert "GPUOPT_NUM_THREADS: expected a positive integer, got 'many'" in capsys.readouterr().out


def test_json_on_standard_output_is_nothing_but_json(capsys):
    assert doctor([], Path("-")) == 0
    assert json.loads(capsys.readouterr().out) == report()


def test_json_in_a_file_comes_beside_the_text(capsys, tmp_path):
    assert doctor([], tmp_path / "report.json") == 0
    assert "Backends" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text()) == report()


def test_a_file_that_cannot_be_written_is_a_bad_argument(capsys, tmp_path):
    assert doctor([], tmp_path) == 2
    out, err = capsys.readouterr()
    assert "Backends" in out
    assert f"cannot write {tmp_path}: " in err


def test_gpus_are_listed(capsys, monkeypatch, tmp_path):
    line = "NVIDIA H100 80GB HBM3, 81559 MiB, 9.0, 580.65.06"
    put_nvidia_smi(tmp_path, monkeypatch, f"echo '{line}'; echo '{line}'")
    cuda = report()["devices"]["cuda"]
    assert cuda["problem"] is None
    assert cuda["devices"] == 2 * [
        {
            "name": "NVIDIA H100 80GB HBM3",
            "memory": "81559 MiB",
            "compute_capability": "9.0",
            "driver": "580.65.06",
        }
    ]
    assert doctor([], None) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert "cuda:1 NVIDIA H100 80GB HBM3 81559 MiB, 9.0, 580.65.06" in rows


def test_a_driver_that_does_not_answer_is_a_reason(monkeypatch, tmp_path):
    put_nvidia_smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML'; exit 18")
    cuda = report()["devices"]["cuda"]
    assert cuda == {"devices": [], "problem": "nvidia-smi failed: Failed to initialize NVML"}


def test_no_gpu_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    cuda = report()["devices"]["cuda"]
    assert cuda == {"devices": [], "problem": "no NVIDIA driver: nvidia-smi was not found"}


def test_cuda_arrays_without_a_backend_are_told_what_is_missing(broken, monkeypatch):
    monkeypatch.setattr("gpuopt.doctor.PACKAGES", {**PACKAGES, "torch": ("numpy",)})
    choice = report()["arrays"]["torch CUDA tensor"]
    assert choice["backend"] == "numpy"
    assert "on the host" in choice["reason"]
    assert "pip install 'gpuopt[broken]'" in choice["reason"]


def test_arrays_of_a_library_that_is_not_there_get_nothing(monkeypatch):
    monkeypatch.setattr("gpuopt.doctor.PACKAGES", {**PACKAGES, "cupy": ("no-such-package",)})
    assert report()["arrays"]["CuPy array"] == {
        "backend": None,
        "reason": "cupy is not installed",
    }


def test_it_runs_without_any_optional_library():
    code = "from gpuopt.doctor import doctor; sys.exit(doctor(['numpy'], None))"
    result = run_without("llvmlite", "rich", "matplotlib", "torch", "typer", code=code)
    assert (result.returncode, result.stderr) == (0, "")
    assert "pip install 'gpuopt[cpu]'" in result.stdout
    code = "from gpuopt.doctor import doctor; sys.exit(doctor(['llvm'], None))"
    assert run_without("llvmlite", code=code).returncode == 1


def test_it_imports_only_what_a_backend_needs():
    code = "from gpuopt.doctor import report; report(); print(*sys.modules)"
    imported = set(run_without(code=code).stdout.split())
    assert not imported & {"matplotlib", "sklearn"}
