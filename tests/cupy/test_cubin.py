"""What the CuPy backend loads is what inspection reads: NVRTC's code, with our options alone."""

import os

import pytest
from gpuopt.kernels import disk_cache

from tests.cuda_c.tables import list_dtypes, update_of
from tests.helpers.scripts import run_script

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


def test_it_is_compiled_once_and_kept(text, folder, monkeypatch):
    file = cubin.cubin(text, 90)
    monkeypatch.setattr(cubin, "_compile", None)
    assert cubin.cubin(text, 90) == file
    (entry,) = folder.iterdir()
    assert entry.read_bytes().endswith(file.read_bytes())


def test_the_file_that_is_loaded_is_this_processs_own(text, folder):
    """Others may delete entries of the cache between a look and a load."""
    file = cubin.cubin(text, 90)
    whole = file.read_bytes()
    disk_cache.clear()
    assert file.read_bytes() == whole
    assert file.parent.stat().st_mode & 0o777 == 0o700
    child = os.fork()
    if not child:
        cubin._remove(str(file.parent), os.getppid())
        os._exit(0)
    os.waitpid(child, 0)
    assert file.exists()


def test_without_a_cache_it_is_compiled(text, folder):
    kept = cubin.cubin(text, 90).read_bytes()
    folder.chmod(0o777)
    assert cubin.cubin(text, 90).read_bytes() == kept


FIRST = """
    import threading
    from gpuopt.kernels.cuda import cubin
    files, start = [], threading.Barrier(8)
    def compile(i):
        start.wait()
        text = f'extern "C" __global__ void k(float* x) {{ x[0] = {i}.0f; }}'
        files.append(cubin.cubin(text, 90))
    threads = [threading.Thread(target=compile, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(set(files)), all(file.exists() for file in files))
"""


def test_threads_that_are_the_first_to_compile_at_the_same_time(folder):
    """NVRTC cannot: it opens a library of its own, and fails in all threads but one."""
    assert run_script(FIRST) == "8 True\n"


def test_what_does_not_compile_says_why(folder):
    with pytest.raises(ValueError, match=r"identifier .y. is undefined"):
        cubin.cubin("int x = y;", 90)
    assert not folder.exists()
