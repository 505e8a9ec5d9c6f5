"""What the CuPy backend loads is what inspection reads: NVRTC's code, with our options alone."""

import pytest

from tests.cuda_c.tables import list_dtypes, update_of

cubin = pytest.importorskip("gpuopt.kernels.cuda.cubin", reason="CuPy")
nvrtc = pytest.importorskip("gpuopt.inspection.nvrtc", reason="cuda-bindings, nvidia-cuda-nvrtc")

from gpuopt.kernels.cuda import source as cuda_c  # noqa: E402  (after what may skip)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cuda"


@pytest.fixture(scope="module")
def text():
    update = update_of("adam")
    return cuda_c.source(update, list_dtypes(update, *("float32",) * 3), True)


@pytest.mark.parametrize("arch", [75, 90, 120])
def test_it_is_the_code_that_the_gate_reads(text, arch):
    checked = nvrtc.compile_for(text, arch, cuda_c.OPTIONS).cubin
    assert cubin.cubin(text, arch).read_bytes() == checked


def test_flushing_denormals_would_be_other_code(text, monkeypatch):
    kept = cubin.cubin(text, 90).read_bytes()
    monkeypatch.setattr(cubin, "OPTIONS", (*cuda_c.OPTIONS, "-ftz=true"))  # as CuPy appends it
    assert cubin.cubin(text, 90).read_bytes() != kept


def test_a_device_that_nvrtc_does_not_know_gets_ptx(text):
    ptx = cubin.cubin(text, 999).read_bytes()
    assert b".visible .entry multi_tensor_update" in ptx
    assert b".ftz" not in ptx
    newest = max(cubin.nvrtc.getSupportedArchs())
    assert f".target sm_{newest}".encode() in ptx


def test_it_is_compiled_once_and_written_whole(text, folder, monkeypatch):
    file = cubin.cubin(text, 90)
    monkeypatch.setattr(cubin, "_compile", None)
    assert cubin.cubin(text, 90) == file
    assert list(folder.iterdir()) == [file]


def test_without_a_cache_it_is_written_for_this_process(text, folder, monkeypatch):
    kept = cubin.cubin(text, 90).read_bytes()
    folder.parent.chmod(0o777)
    file = cubin.cubin(text, 90)
    assert folder not in file.parents
    assert file.read_bytes() == kept
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_what_does_not_compile_says_why(folder):
    with pytest.raises(ValueError, match=r"identifier .y. is undefined"):
        cubin.cubin("int x = y;", 90)
    assert not folder.exists()
