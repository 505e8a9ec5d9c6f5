"""A damaged or foreign entry of a cache is compiled anew, and a cache overwrites nothing else."""

import os
import stat
import sys

import pytest
from gpuopt.kernels import disk_cache

from gpuopt.inspection import compile
from gpuopt.inspection.cache import entry_of, read_code, read_facts, write_entry
from gpuopt.inspection.code import Code
from gpuopt.inspection.compile import compile_cases
from gpuopt.system import files
from tests.inspection.conftest import case_of
from tests.inspection.conftest import compiled as compiled
from tests.inspection.conftest import empty_cache as empty_cache

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of POSIX")

CASE = case_of(rule="gradient_descent")


def make_link(file):
    """Move a file elsewhere and leave a link in its place."""
    elsewhere = file.parent.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def flip(at):
    """What flips a bit of a file, at a part of its length."""

    def damage(file):
        content = bytearray(file.read_bytes())
        content[int(at * len(content))] ^= 4
        file.write_bytes(content)

    return damage


DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "a bit at the start": flip(0),
    "a bit in the midst": flip(0.5),
    "a bit near the end": flip(0.99),
    "a link": make_link,
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "writable by all": lambda file: file.chmod(0o666),
    "writable by a group": lambda file: file.chmod(0o664),
}
if hasattr(os, "geteuid") and os.geteuid() == 0:
    DAMAGE["another user's"] = lambda file: os.chown(file, 1234, -1)


# --- files ------------------------------------------------------------------------------------


@pytest.fixture
def entry(tmp_path):
    """A file of a cache."""
    file = tmp_path / "cache" / "entry"
    files.make_folder(file.parent)
    files.replace(str(file), lambda opened: files.write_all(opened, b"code" * 100), mode=0o644)
    return file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_write_to_a_cache(tmp_path, umask):
    before = os.umask(umask)
    try:
        file = tmp_path / "new" / "cache" / "entry"
        files.make_folder(file.parent)
        files.replace(str(file), lambda opened: files.write_all(opened, b""), mode=0o644)
    finally:
        os.umask(before)
    for each in (file, file.parent, file.parent.parent):
        assert each.stat().st_mode & 0o022 == 0
    assert files.read_own(file) == b""


def test_a_link_is_replaced_and_what_it_leads_to_stays(entry):
    other = entry.parent.parent / "other"
    other.write_bytes(b"precious")
    entry.unlink()
    entry.symlink_to(other)
    files.replace(str(entry), lambda opened: files.write_all(opened, b"code"), mode=0o644)
    assert other.read_bytes() == b"precious"
    assert not entry.is_symlink()
    assert files.read_own(entry) == b"code"


def test_names_of_partial_files_are_not_predictable(entry):
    names = []

    def write(opened):
        names.append(opened.name)
        files.write_all(opened, b"code")

    for _ in range(2):
        files.replace(str(entry), write)
    assert len(set(names)) == 2


# --- cubins -----------------------------------------------------------------------------------


@pytest.fixture
def cubin(tmp_path, monkeypatch):
    """The module, with a cache of the test's own and a compiler that counts its calls."""
    module = pytest.importorskip("gpuopt.kernels.cuda.cubin", reason="CuPy")
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))
    module.calls = []

    def compile_(text, options):
        module.calls.append(text)
        return b"\x7fELF" + text.encode() * 100

    monkeypatch.setattr(module, "_compile", compile_)
    yield module
    del module.calls


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cubin_is_compiled_again(cubin, damage):
    file = cubin.cubin("text", 90)
    (entry,) = disk_cache.folder("cuda").iterdir()
    whole, kept = file.read_bytes(), entry.read_bytes()
    assert cubin.cubin("text", 90) == file
    assert len(cubin.calls) == 1
    DAMAGE[damage](entry)
    assert cubin.cubin("text", 90).read_bytes() == whole
    assert len(cubin.calls) == 2
    assert stat.S_ISREG(os.lstat(entry).st_mode)
    assert entry.read_bytes() == kept
    assert cubin.cubin("text", 90) == file
    assert len(cubin.calls) == 2


def test_the_cubin_of_another_kernel_is_not_taken(cubin):
    for text in ("one", "other"):
        cubin.cubin(text, 90)
    one, other = disk_cache.folder("cuda").iterdir()
    one.write_bytes(other.read_bytes())
    for text in ("one", "other"):
        cubin.cubin(text, 90)
    assert len(cubin.calls) == 3


# --- inspection -------------------------------------------------------------------------------


@pytest.fixture
def facts(compiled, monkeypatch, tmp_path):
    """A case in a cache of the test's own, and its facts."""
    source = entry_of(compiled(rule="gradient_descent")[0])
    whole = source.read_bytes()
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))
    entry = entry_of(CASE)
    files.make_folder(entry.parent)
    entry.write_bytes(whole)
    entry.chmod(0o644)
    found = read_facts(entry)
    assert found is not None
    return found


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_compiled_again(facts, monkeypatch, damage):
    entry = entry_of(CASE)
    DAMAGE[damage](entry)
    assert read_facts(entry) is None
    with pytest.raises(ValueError, match="missing, damaged, or writable by others"):
        read_code(entry)
    answer = 'import sys; sys.stdin.readline(); print(\'{"error": "asked"}\')'
    monkeypatch.setattr(compile, "WORKER", (sys.executable, "-c", answer))
    (result,) = compile_cases([CASE])
    assert result.error == "asked"


def test_the_entry_of_another_case_is_not_taken(facts):
    other = entry_of(case_of(rule="adam"))
    other.write_bytes(entry_of(CASE).read_bytes())
    other.chmod(0o644)
    assert read_facts(other) is None


def test_a_damaged_kernel_is_an_error_of_dump(facts, monkeypatch, tmp_path, capsys):
    """It was damaged after the facts had been read."""
    from gpuopt.inspection import command

    def damaged(cases, progress):
        results = compile_cases(cases, progress)
        flip(0.5)(entry_of(CASE))
        return results

    code = read_code(entry_of(CASE))
    write_entry(entry_of(CASE.coefficients), facts, code)
    monkeypatch.setattr(command, "compile_cases", damaged)
    given = [("gradient_descent",), ("float32",), ("sm_90",), ("plain",), ("triton",)]
    request = command.Request(*given, dump=tmp_path / "dump")
    assert command.inspect(request) == 1
    assert "gpuopt inspect: --dump: " in capsys.readouterr().err


def test_an_entry_that_cannot_be_removed_keeps_no_other(empty_cache):
    folder = disk_cache.folder("inspect")
    names = {name: letter * 40 for name, letter in zip(("nowhere", "folder", "old", "new"), "abcd")}
    (folder / f"{names['folder']}.zip").mkdir(parents=True)
    (folder / f"{names['nowhere']}.zip").symlink_to("nowhere")
    for age, name in enumerate(names):
        path = folder / f"{names[name]}.zip"
        if age > 1:
            path.write_bytes(bytes(100))
        os.utime(path, (1e9 + age, 1e9 + age), follow_symlinks=False)
    disk_cache.prune(limit=5000)  # a folder has a size of its own
    assert {file.stem for file in folder.iterdir()} >= {names["folder"], names["new"]}
    disk_cache.prune(limit=-1)
    assert {file.stem for file in folder.iterdir()} == {names["folder"]}


def test_an_entry_is_written_with_all_its_parts(facts):
    code = Code("ptx", b"cubin", "sass", "usage", 0, 1, 2, "grid", ())
    entry = disk_cache.folder("inspect") / f"{'0' * 40}.zip"
    write_entry(entry, facts, code)
    assert read_code(entry) == code
    assert read_facts(entry) == facts
