"""Numba's kernels are kept on disk: the same bits, for this processor and this code alone."""

import os
import subprocess
import sys
import threading
from types import FunctionType

import numpy as np
import pytest
from gpuopt.kernels import disk_cache

import gpuopt
from gpuopt.engine.compose import within
from gpuopt.engine.measure import MEASURE
from gpuopt.engine.tail import Tail
from tests.helpers.scripts import run_script
from tests.test_architecture import ROOT, imported, modules

launch = pytest.importorskip("gpuopt.kernels.numba.launch")
keys = pytest.importorskip("gpuopt.kernels.numba.keys")

DTYPES = ("float32",) * 4

STEP = """
    import sys
    import numpy as np
    import gpuopt
    tails = {{"plain": {{}}, "tail": dict(clip_norm=1.0, ema_decay=0.9, stats=True)}}
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(n).astype(np.float32) for n in (70_000, 3)]
    grads = [rng.standard_normal(p.size).astype(np.float32) for p in params]
    opt = gpuopt.Adam(params, **tails["{tail}"])
    opt.step(grads)
    digest = [p.view(np.int32).sum(dtype=np.int64) for p in params]
    print("gpuopt.kernels.numba.compile" in sys.modules, *digest, getattr(opt, "grad_norm", ""))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(disk_cache, "_warned", False)
    return tmp_path / "cache"


def update_of(name="adam", **tail):
    return within(gpuopt.RULES[name], Tail(**tail))


def entries(folder):
    return {file.name: file.read_bytes() for file in folder.glob("cpu/*")}


# --- the next process -----------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["plain", "tail"])
def test_the_next_process_compiles_nothing_and_has_the_same_bits(folder, tail):
    first, *bits = run_script(STEP.format(tail=tail)).split()
    made = entries(folder)
    assert first == "True"
    assert len(made) == (1 if tail == "plain" else 2)  # the norm has a walk of its own
    assert run_script(STEP.format(tail=tail)).split() == ["False", *bits]
    assert entries(folder) == made
    assert run_script(STEP.format(tail=tail), GPUOPT_BACKEND="numpy").split()[1:] == bits


def test_code_for_another_processor_is_not_taken(folder):
    """As in a home folder that different machines share."""
    _, *bits = run_script(STEP.format(tail="plain")).split()
    code = "import llvmlite.binding as llvm; print(*llvm.get_host_cpu_features())"
    less = ",".join(f"-{name}" for name in run_script(code).split() if name.startswith("avx512"))
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": less}
    assert run_script(STEP.format(tail="plain"), **other).split() == ["True", *bits]
    assert len(entries(folder)) == 2


def test_processes_that_start_together_agree(folder):
    code = "if True:" + STEP.format(tail="plain")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate()[0].partition(" ")[2] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(said) == 1
    assert len(entries(folder)) == 1
    assert run_script(STEP.format(tail="plain")).startswith("False")


def test_threads_that_start_together_agree(folder):
    launch.compile.cache_clear()
    update, found = update_of(), []

    def step():
        param = np.ones(100, np.float32)
        gpuopt.Adam([param]).step([np.ones(100, np.float32)])
        found.append(param)

    threads = [threading.Thread(target=step) for _ in range(4)]
    with gpuopt.use_backend("numba"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all((param == found[0]).all() for param in found)
    assert entries(folder).keys() == {f"{keys.key_of(update, DTYPES)}.o"}


# --- keys -------------------------------------------------------------------------------------


def changed(function, **names):
    """A copy of a function that refers to something else."""
    return FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)


class Changed:
    """An update with another function."""

    def __init__(self, update, function):
        self._update, self.function = update, function

    def __getattr__(self, name):
        return getattr(self._update, name)


def test_a_key_changes_with_every_function_that_is_compiled_in():
    update = update_of(ema_decay=0.5)
    callee = update.function.__globals__["apply_ema"]

    def other(p, ema, ema_weight):
        return ema - ema_weight * (p - ema)

    def constant(p, ema, ema_weight):
        return ema + 2.0 * ema_weight * (p - ema)

    found = [update.function]
    found += [changed(update.function, apply_ema=new) for new in (other, constant)]
    deeper = changed(callee, ema=1.5)  # a global that it does not name changes nothing
    found.append(changed(update.function, apply_ema=deeper))
    made = [keys.key_of(Changed(update, function), (*DTYPES, "float32")) for function in found]
    assert made[3] == made[0]
    assert len(set(made)) == 3


def test_a_key_changes_with_a_number_that_a_function_refers_to():
    names = {"HALF": 0.5, "np": np}
    exec("def f(p, g):\n    return (p - HALF * g,)", names)
    function = names["f"]
    update = Changed(update_of("gradient_descent"), function)
    other = Changed(update_of("gradient_descent"), changed(function, HALF=0.25))
    assert keys.key_of(update, DTYPES[:2]) != keys.key_of(other, DTYPES[:2])


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(keys.numba, "__version__", "99.0"),
        lambda patch: patch.setattr(keys.llvmlite, "__version__", "99.0"),
        lambda patch: patch.setattr(keys.sys, "version", "4.0"),
        lambda patch: patch.setattr(keys, "processor", lambda: ("z80", "")),
        lambda patch: patch.setattr(keys.numba.config, "OPT", 1),
        lambda patch: patch.setattr(keys, "_FILES", ("maths.py",)),
    ],
)
def test_a_key_changes_with_what_compiles(monkeypatch, change):
    key_of = keys.key_of.__wrapped__
    before = key_of(update_of(), DTYPES)
    keys._environment.cache_clear()
    assert key_of(update_of(), DTYPES) == before
    change(monkeypatch)
    keys._environment.cache_clear()
    try:
        assert key_of(update_of(), DTYPES) != before
    finally:
        monkeypatch.undo()
        keys._environment.cache_clear()


def test_every_source_of_the_machine_code_is_in_the_key():
    own = modules("kernels")
    found, new = set(), {"gpuopt.kernels.numba.compile"}
    while new:
        found |= new
        names = {name for module in new for name in imported(module, own[module])}
        new = {n if n in own else n.rpartition(".")[0] for n in names} & own.keys() - found
    files = {str(own[name].relative_to(ROOT / "kernels")) for name in found}
    listed = {os.path.normpath(f"numba/{name}") for name in keys._FILES}
    assert {file for file in files if not file.endswith("__init__.py")} <= listed


def test_kernels_of_different_dtypes_have_different_keys():
    bf16 = ("bfloat16", "bfloat16", "float32", "float32")
    assert len({keys.key_of(update_of(), dtypes) for dtypes in (DTYPES, bf16)}) == 2


# --- what can go wrong ------------------------------------------------------------------------


def object_file():
    return launch.object_file_of(MEASURE, DTYPES[:2])


def test_a_damaged_entry_is_compiled_again(folder):
    whole = object_file()
    (entry,) = folder.glob("cpu/*")
    kept = entry.read_bytes()
    for damaged in (b"", kept[:100], kept[:-1], kept + b"\0", kept.replace(b"ELF", b"elf")):
        entry.write_bytes(damaged)
        assert object_file() == whole
        assert entry.read_bytes() == kept


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777], ids=oct)
def test_a_folder_that_others_can_write_to_is_refused(folder, mode):
    object_file()
    (entry,) = folder.glob("cpu/*")
    folder.chmod(mode)
    assert "others may write" in disk_cache.problem()
    assert disk_cache.read(entry) is None
    entry.unlink()
    object_file()
    assert not entry.exists()
    folder.chmod(0o700)
    object_file()
    assert entry.exists()


def test_a_cache_is_its_users_own(folder):
    object_file()
    (entry,) = folder.glob("cpu/*")
    modes = [path.stat().st_mode & 0o777 for path in (folder, entry.parent, entry)]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("fault", ["a file in its place", "a full disk"])
def test_without_a_usable_disk_kernels_are_compiled_and_nothing_fails(
    folder, monkeypatch, fault, recwarn
):
    if fault == "a file in its place":
        folder.write_text("")
    else:
        monkeypatch.setattr(disk_cache.files, "replace", full)
    whole = object_file()
    assert not list(recwarn)
    monkeypatch.setenv("GPUOPT_DEBUG", "1")
    assert [object_file(), object_file()] == [whole, whole]
    (warning,) = recwarn
    assert "compiled kernels are not kept on disk: " in str(warning.message)
    assert not [file for file in folder.rglob("*") if file.is_file()]


def full(*args, **kwargs):
    raise OSError(28, "No space left on device")


def test_a_user_without_a_home_has_a_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("GPUOPT_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(disk_cache.Path, "home", no_home)
    monkeypatch.setattr(disk_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    object_file()
    assert len(list(tmp_path.glob("gpuopt-*/cpu/*.o"))) == 1


def no_home():
    raise RuntimeError("Could not determine home directory.")


def test_the_oldest_entries_go_and_other_files_stay(folder, monkeypatch):
    for age, name in enumerate(("c.cubin", "b.zip", "a.o")):
        kind = folder / name.split(".")[1]
        assert disk_cache.write(kind / name, bytes(1000))
        os.utime(kind / name, (1e9 - age, 1e9 - age))
    (folder / "o" / "notes").write_text("mine")
    assert disk_cache.size() == (3, 3 * 1032)
    assert disk_cache.read(folder / "o" / "a.o") is not None  # now it is the youngest
    monkeypatch.setattr(disk_cache, "_since_prune", disk_cache._STEP)
    monkeypatch.setattr(disk_cache.prune, "__defaults__", (3 * 1032,))
    assert disk_cache.write(folder / "o" / "d.o", bytes(1000))
    left = {file.name for file in folder.rglob("*") if file.is_file()}
    assert left == {"a.o", "c.cubin", "d.o", "notes"}
    assert disk_cache.clear() == (3, 3 * 1032)
    assert {file.name for file in folder.rglob("*") if file.is_file()} == {"notes"}


def test_a_processor_that_cannot_convert_float16_is_an_error_and_no_abort(folder, monkeypatch):
    compile = pytest.importorskip("gpuopt.kernels.numba.compile")
    monkeypatch.setattr(compile, "processor", lambda: ("ivy", "+avx,-f16c"))
    with pytest.raises(ValueError, match="float16: this processor cannot convert it"):
        compile.object_file(MEASURE, ("float32", "float16"), "walk")
    assert compile.object_file(MEASURE, ("float32", "bfloat16"), "walk")


def test_a_rule_that_raises_is_an_error_of_the_step():
    names = {"np": np}
    exec(
        "def f(p, g):\n    if g > 1.0:\n        raise ValueError('large')\n    return (p - g,)",
        names,
    )
    update = Changed(update_of("gradient_descent"), names["f"])
    update.coefficient_names = ()
    param, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    addresses = np.array([[param.ctypes.data], [grad.ctypes.data]], np.int64)
    rest = np.array([3]), np.zeros((1, 2), np.int32), np.zeros((1, 0), np.float32), np.array([3])
    walk = launch.bind(update, DTYPES[:2], addresses, *rest, np.zeros((1, 0, 3)))
    walk()
    assert param.tolist() == [0.0, 0.0, 0.0]
    grad[1] = 2.0
    with pytest.raises(RuntimeError, match="a rule raised an error in its compiled form"):
        walk()
