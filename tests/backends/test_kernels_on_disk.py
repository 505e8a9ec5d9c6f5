"""LLVM's kernels are kept on disk: the same bits, for this processor and this code alone."""

import os
import platform
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

launch = pytest.importorskip("gpuopt.kernels.llvm.launch")
keys = pytest.importorskip("gpuopt.kernels.llvm.keys")

DTYPES = ("float32",) * 4

only_x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="names x86-64's processors"
)

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
    print("gpuopt.kernels.llvm.compile" in sys.modules, *digest, getattr(opt, "grad_norm", ""))
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
    assert run_script(STEP.format(tail="plain"), GPUOPT_CPU="generic").split() == ["True", *bits]
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
    with gpuopt.use_backend("llvm"):
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


def test_a_key_changes_with_the_function_that_makes_codes():
    class Recoded(Changed):
        def __init__(self, update, encode):
            super().__init__(update, update.function)
            self.encode_function = encode

    update = within(gpuopt.RULES["adam"], Tail())
    stored = update.stored_states("float32", "8bit")
    update = update.for_states(stored)
    dtypes = ("float32", "float32", *update.dtypes_of_lists(stored))

    def other(exp_avg, exp_avg_scale, element64, seed_high, seed_low, step_high, step_low):
        return exp_avg

    encode = changed(update.encode_function, apply_encode_exp_avg=other)
    assert keys.key_of(Recoded(update, encode), dtypes) != keys.key_of(update, dtypes)


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "8bit"])
@pytest.mark.parametrize("rule", ["adam", "lamb", "momentum"])
def test_a_key_is_the_same_in_the_next_process(rule, state_dtype):
    code = f"""
        import gpuopt
        from gpuopt.kernels.llvm.keys import key_of
        from tests.backends.test_kernels_on_disk import stored
        print(key_of(*stored({rule!r}, {state_dtype!r})))
    """
    assert run_script(code, PYTHONHASHSEED="1").strip() == keys.key_of(*stored(rule, state_dtype))


def stored(rule, state_dtype):
    """An update with its states in a dtype, and the dtypes of its lists."""
    update = within(gpuopt.RULES[rule], Tail(stats=True))
    kinds = update.stored_states("float32", state_dtype)
    update = update.for_states(kinds)
    return update, ("float32", "float32", *update.dtypes_of_lists(kinds))


@pytest.mark.parametrize(
    "change",
    [
        ("llvmlite.__version__", "99.0"),
        ("llvm_version_info", (99, 0, 0)),
        ("processor", lambda: ("z80", "")),
        ("get_process_triple", lambda: "z80-unknown-linux-gnu"),  # "generic" is of all platforms
        ("sources", lambda: []),
    ],
    ids=lambda change: change[0],
)
def test_a_key_changes_with_what_compiles(monkeypatch, change):
    key_of = keys.key_of.__wrapped__
    before = key_of(update_of(), DTYPES)
    keys._environment.cache_clear()
    assert key_of(update_of(), DTYPES) == before
    *owner, name = change[0].split(".")
    monkeypatch.setattr(getattr(keys, owner[0]) if owner else keys, name, change[1])
    keys._environment.cache_clear()
    try:
        assert key_of(update_of(), DTYPES) != before
    finally:
        monkeypatch.undo()
        keys._environment.cache_clear()


def test_every_source_of_the_machine_code_is_in_the_key():
    own = modules("kernels")
    found, new = set(), {"gpuopt.kernels.llvm.compile"}
    while new:
        found |= new
        names = {name for module in new for name in imported(module, own[module])}
        new = {n if n in own else n.rpartition(".")[0] for n in names} & own.keys() - found
    files = {own[name] for name in found}
    assert {file for file in files if file.name != "__init__.py"} <= set(keys.sources())


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


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
@pytest.mark.parametrize("place", ["", "cpu"])
def test_a_folder_that_others_can_write_to_is_refused(folder, place, mode):
    object_file()
    (entry,) = folder.glob("cpu/*")
    (folder / place).chmod(mode)
    assert "others may write" in disk_cache.problem()
    if place:
        assert disk_cache.read(entry) is None
    entry.unlink()
    object_file()
    assert not entry.exists()
    (folder / place).chmod(0o700)
    object_file()
    assert entry.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
@pytest.mark.parametrize("place", ["folder", "entry"])
def test_code_of_another_user_is_not_taken(folder, place):
    object_file()
    (entry,) = folder.glob("cpu/*")
    os.chown(entry.parent if place == "folder" else entry, 1234, -1)
    assert disk_cache.read(entry) is None


def test_a_folder_that_is_a_link_is_not_entered(folder, tmp_path):
    object_file()
    (folder / "cpu").rename(tmp_path / "elsewhere")
    (folder / "cpu").symlink_to(tmp_path / "elsewhere")
    (entry,) = (tmp_path / "elsewhere").iterdir()
    assert disk_cache.read(folder / "cpu" / entry.name) is None
    assert disk_cache.clear() == (0, 0)
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


@pytest.mark.parametrize("where", ["folder", "archive.zip"])
def test_without_sources_kernels_are_compiled_and_not_kept(folder, tmp_path, where):
    """As in a frozen application: no entry could be told from one of another version."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "archive.zip").touch()
    code = f"""
    from pathlib import Path
    from gpuopt.kernels.llvm import keys
    keys.sources = lambda: [Path({str(tmp_path / where / "units.py")!r})]
    """
    step = STEP.format(tail="plain")
    found = run_script(code + step)
    assert not entries(folder)
    assert found == run_script(step)


def full(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("path", ["relative/folder", "~nobody-of-this-name/cache", ""])
def test_a_path_that_moves_with_the_process_is_not_used(tmp_path, monkeypatch, path):
    """The last: a user without a home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUOPT_CACHE_DIR", path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    expand = os.path.expanduser
    monkeypatch.setattr(os.path, "expanduser", lambda p: p if p == "~/.cache" else expand(p))
    assert object_file()
    assert disk_cache.problem().startswith("the path of the cache is not absolute")
    assert disk_cache.size() == (0, 0)
    assert not list(tmp_path.iterdir())


NAMES = [letter * 40 for letter in "abcdef"]


def test_the_oldest_entries_go_and_other_files_stay(folder, monkeypatch):
    oldest, old, used, new = (
        folder / kind / f"{name}.{suffix}"
        for kind, name, suffix in zip(
            ("cuda", "inspect", "cpu", "cpu"), NAMES, ("cubin", "zip", "o", "o")
        )
    )
    for age, entry in enumerate((used, old, oldest)):
        assert disk_cache.write(entry, bytes(1000))
        os.utime(entry, (1e9 - age, 1e9 - age))
    others = [folder / "cpu" / "notes.o", folder / "o" / used.name, folder / "photos.zip"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(bytes(10_000))
        os.utime(other, (0, 0))
    assert disk_cache.size() == (3, 3 * 1032)
    assert disk_cache.read(used) is not None  # now it is the youngest
    monkeypatch.setattr(disk_cache, "_since_prune", disk_cache._STEP)
    monkeypatch.setattr(disk_cache.prune, "__defaults__", (2 * 1032,))
    assert disk_cache.write(new, bytes(1000))
    left = {file for file in folder.rglob("*") if file.is_file()}
    assert left == {used, new, *others}
    assert disk_cache.clear() == (2, 2 * 1032)
    assert {file for file in folder.rglob("*") if file.is_file()} == set(others)


def test_processes_that_delete_at_the_same_time_do_not_delete_more(folder, monkeypatch):
    entries = [folder / "cpu" / f"{name}.o" for name in NAMES]
    for age, entry in enumerate(entries):
        assert disk_cache.write(entry, bytes(1000))
        os.utime(entry, (1e9 - age, 1e9 - age))
    found = list(disk_cache._entries())
    entries[-1].unlink()  # by another process, after this one has looked
    monkeypatch.setattr(disk_cache, "_entries", lambda: found)
    assert disk_cache.prune(4 * 1032) == (1, 1032)
    assert [entry.exists() for entry in entries] == [True] * 4 + [False] * 2


def test_what_a_killed_writer_left_goes(folder):
    object_file()
    partial = folder / "cpu" / ".gpuopt-0-1.partial"
    partial.write_bytes(b"half")
    disk_cache.prune()
    assert [file.suffix for file in (folder / "cpu").iterdir()] == [".o"]


@only_x86
def test_a_processor_that_cannot_convert_float16_is_an_error_and_no_abort(folder):
    code = """
        import numpy as np, gpuopt
        param = np.ones(5, np.float16)
        try:
            gpuopt.SGD([param], lr=0.5).step([param.copy()])
        except ValueError as error:
            print(error, param.tolist())
    """
    said = run_script(code, GPUOPT_CPU="x86-64")
    assert said.startswith("float16: this processor cannot convert it")
    assert said.endswith("[1.0, 1.0, 1.0, 1.0, 1.0]\n")


@only_x86
def test_a_rule_that_rounds_to_float16_is_no_abort_either(folder):
    """Beside lists of other dtypes."""
    code = """
        from gpuopt.kernels.llvm.compile import object_file
        from gpuopt.engine.compose import compose
        from gpuopt import RULES
        from gpuopt.rules.tail import ROUND
        update = compose(RULES["gradient_descent"], (), (ROUND["float16"],))
        try:
            object_file(update, ("float32",) * 2, "walk")
        except ValueError as error:
            print(error)
    """
    assert run_script(code, GPUOPT_CPU="x86-64").startswith("float16: this processor cannot")


@only_x86
@pytest.mark.parametrize("name", ["no_such_processor", "i386"])
def test_a_processor_of_another_kind_is_no_abort(folder, name):
    _, *bits = run_script(STEP.format(tail="plain")).split()
    said = run_script(STEP.format(tail="plain"), quiet=False, GPUOPT_CPU=name).split()
    assert said[-len(bits) :] == bits


def test_a_child_that_is_forked_while_a_kernel_is_compiled_can_compile(folder):
    code = """
        import os, threading
        import numpy as np, gpuopt
        gpuopt.use_backend("llvm")
        def step(rule, n=3):
            gpuopt.Optimizer([np.ones(n, np.float32)], rule=rule).step([np.ones(n, np.float32)])
        step("gradient_descent")
        thread = threading.Thread(target=lambda: [step(r) for r in ("adam", "lion", "adagrad")])
        thread.start()
        for rule in ("momentum", "nesterov", "rmsprop"):
            child = os.fork()
            if child == 0:
                step(rule)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        thread.join()
    """
    run_script(code, quiet=False)
