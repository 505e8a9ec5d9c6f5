import re
import sys
import zipfile

import pytest

from gpuopt.inspection import backends, cache, compile
from gpuopt.inspection.cache import entry_of, read_facts
from gpuopt.inspection.compile import compile_cases
from gpuopt.rules.registry import RULES
from tests.helpers.scripts import run_script
from tests.test_architecture import imported, modules

from .conftest import case_of

CASE = case_of(rule="gradient_descent")


def put_worker(monkeypatch, code):
    """A worker of a few lines instead of the one that compiles."""
    monkeypatch.setattr(compile, "WORKER", (sys.executable, "-c", f"import os, sys, time\n{code}"))


# --- the cache --------------------------------------------------------------------------------


def test_what_was_compiled_is_not_compiled_again(compiled, monkeypatch):
    case, _ = compiled(rule="gradient_descent")
    put_worker(monkeypatch, "sys.exit('asked')")
    first, second = compile_cases([case, case])
    assert first.facts is not None
    assert first == second


@pytest.mark.parametrize("damage", ["empty", "no zip", "half", "other facts"])
def test_a_corrupt_entry_is_compiled_again(compiled, monkeypatch, tmp_path, damage):
    whole = entry_of(compiled(rule="gradient_descent")[0]).read_bytes()
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))
    entry = entry_of(CASE)
    entry.parent.mkdir(parents=True)
    entry.write_bytes(whole)
    assert read_facts(entry) is not None
    contents = {"empty": b"", "no zip": b"no zip at all", "half": whole[: len(whole) // 2]}
    entry.write_bytes(contents.get(damage, b""))
    if damage == "other facts":
        with zipfile.ZipFile(entry, "w") as archive:
            archive.writestr("facts.json", '{"case": {}}')
    assert read_facts(entry) is None
    put_worker(monkeypatch, 'sys.stdin.readline(); print(\'{"error": "asked"}\')')
    (result,) = compile_cases([CASE])
    assert result.error == "asked"


def test_an_entry_is_whole_after_a_fresh_compilation(empty_cache, monkeypatch):
    pytest.importorskip("triton")
    # The interpreter, and other settings of Triton's, must not reach the worker.
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    entry_of(CASE).parent.mkdir(parents=True)
    entry_of(CASE).write_bytes(b"torn")
    (result,) = compile_cases([CASE])
    assert (result.error, result.facts.inexact) == ("", ())
    assert read_facts(entry_of(CASE)) == result.facts
    assert cache.read_code(entry_of(CASE)).cubin.startswith(b"\x7fELF")
    assert [file.suffix for file in entry_of(CASE).parent.iterdir()] == [".zip"]


def test_another_compiler_or_source_is_another_entry(monkeypatch, tmp_path):
    before = entry_of(CASE)
    try:
        backends.fingerprint.cache_clear()
        assert entry_of(CASE) == before
        backends.fingerprint.cache_clear()
        monkeypatch.setattr(backends.Compiler, "version", lambda self: "99.0")
        other = entry_of(CASE)
        assert other != before
        backends.fingerprint.cache_clear()
        (tmp_path / "rules.py").write_text("# other rules")
        monkeypatch.setattr(backends, "_RULES", (str(tmp_path / "rules.py"),))
        assert entry_of(CASE) not in (before, other)
    finally:
        backends.fingerprint.cache_clear()


HOST_ALONE = {
    "numpy/blocks.py",
    "numpy/coded.py",
    "numpy/partials.py",
    "trace/numpy_calls.py",
    "float_mode.py",
}
HOST_ALONE |= {"thread_count.py", "threads.py"}
OF_TRACE = {"trace/operations.py", "trace/coefficients.py"}
UNRELATED = {"triton": HOST_ALONE | OF_TRACE, "cupy": HOST_ALONE}
"""Modules of the kernels that are imported, too, but that no compiled code depends on."""


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_every_source_of_the_code_makes_another_entry(name):
    compiler = backends.BACKENDS[name]
    pytest.importorskip(compiler.module)
    code = f"""
        import sys, {compiler.module}
        found = [m for m in sys.modules if m.startswith("gpuopt.kernels.")]
        print(*(m for m in found if not hasattr(sys.modules[m], "__path__")))
    """
    names = {m.removeprefix("gpuopt.kernels.").replace(".", "/") for m in run_script(code).split()}
    assert {f"{name}.py" for name in names} - UNRELATED[name] <= set(compiler.sources)


def test_every_module_that_composes_updates_makes_another_entry():
    """Those of the engine that the cases import, and that these do."""
    files, found, new = modules("gpuopt"), set(), {"gpuopt.inspection.cases"}
    while new:
        names = {name for module in new for name in imported(module, files[module])}
        names |= {name.rpartition(".")[0] for name in names}
        new = {n for n in names & files.keys() if n.startswith("gpuopt.engine.")} - found
        found |= new
    assert {f"{name.rpartition('.')[2]}.py" for name in found} == set(backends._COMPOSED)


def test_entries_differ_wherever_cases_do():
    cases = [
        case_of(rule=rule, variant=variant, dtype=dtype, arch=arch, kernel=kernel)
        for rule in RULES
        for variant in ("plain", "decay")
        for dtype in ("float32", "float32:bfloat16:float32")
        for arch in (80, 90)
        for kernel in ("update", "coefficients")
    ]
    assert len({entry_of(case) for case in cases}) == len(cases)


@pytest.mark.parametrize("base", ["", "relative/path"])
def test_the_cache_lies_in_the_home_folder_where_nothing_else_is_said(monkeypatch, base):
    monkeypatch.delenv("GPUOPT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(entry_of(CASE).parent) == "/home/somebody/.cache/gpuopt/inspect"


# --- processes that die -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('LLVM ERROR: no', file=sys.stderr); os.abort()", "killed by signal 6.*LLVM ERROR"),
        ("sys.stdin.readline(); sys.exit('no such target')", "ended with code 1.*no such target"),
        ("sys.stdin.close(); os.close(0); sys.exit(3)", "ended with code 3"),
    ],
)
def test_a_dead_compiler_is_reported(empty_cache, monkeypatch, code, message):
    put_worker(monkeypatch, code)
    results = compile_cases([CASE, case_of()], workers=1)
    for result in results:
        assert result.facts is None
        assert re.search(message, result.error)


def test_a_compiler_that_hangs_is_ended(empty_cache, monkeypatch):
    monkeypatch.setattr(compile, "TIMEOUT", 0.5)
    put_worker(monkeypatch, "time.sleep(600)")
    (result,) = compile_cases([CASE])
    assert "killed by signal 9" in result.error


def test_an_answer_without_an_entry_is_an_error(empty_cache, monkeypatch):
    put_worker(monkeypatch, "sys.stdin.readline(); print('{}')")
    (result,) = compile_cases([CASE])
    assert "could not be read" in result.error


def test_an_unknown_architecture_does_not_keep_the_others_from_compiling(empty_cache):
    pytest.importorskip("triton")
    unknown = case_of(rule="gradient_descent", arch=1)
    told = []
    results = compile_cases(
        [unknown, CASE], progress=lambda done, total: told.append((done, total)), workers=1
    )
    assert results[0].facts is None
    assert results[0].error
    assert results[1].facts is not None
    assert told == [(1, 2), (2, 2)]


# --- what is compiled is what a launch compiles ---------------------------------------------------

SCRIPT = """
import torch, triton
from unittest import mock
from triton.backends.compiler import GPUTarget
import gpuopt
from gpuopt.engine import dispatch
from gpuopt.inspection import triton_code
from gpuopt.kernels.triton import launch as triton_cuda
from tests.inspection.conftest import case_of

class Driver:
    def get_current_target(self): return GPUTarget("cuda", 90, 32)
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0

asked = {}
def note(self, key, signature, device, constants, options, attributes, warmup):
    asked[self.__name__] = signature, constants, attributes, options
    return Compiled()

class Compiled:
    def __getitem__(self, grid): return lambda *arguments: None

triton.runtime.driver.set_active(Driver())
triton_cuda.SIMULATED_ON = ("cpu",)
mock.patch.object(dispatch, "_problem", lambda *a: None).start()
mock.patch.object(triton.runtime.JITFunction, "_do_compile", note).start()
gpuopt.use_backend("triton")
for dtype in ("float32", "float64"):
    tensors = [torch.ones(n, dtype=getattr(torch, dtype)) for n in (100, 9000, 7)]
    gpuopt.Adam(tensors).step([torch.ones_like(one) for one in tensors])
    for kernel in ("update", "coefficients"):
        case = case_of(dtype=dtype, kernel=kernel)
        made = triton_code.kernel_of(case)
        source = made.source
        signature, constants, attributes, options = asked.pop(source.name)
        assert list(signature.items()) == list(source.signature.items()), signature
        assert constants == source.constants, constants
        assert {place: one for place, one in attributes.items() if one} == source.attrs, attributes
        wanted = made.options
        assert {name: getattr(options, name) for name in wanted} == wanted
print("same")
"""


def test_the_jit_compiles_the_same_at_a_launch():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    assert run_script(SCRIPT, TRITON_INTERPRET=None, quiet=False) == "same\n"


def test_nvrtc_writes_into_nothing_but_its_buffers():
    """Of an empty log it writes a NUL: not into the one object that Python has for a byte."""
    nvrtc = pytest.importorskip("gpuopt.inspection.nvrtc")
    nvrtc.compile_for('extern "C" __global__ void nothing() {}', 90, ())
    assert [bytes([i])[0] for i in range(256)] == list(range(256))
